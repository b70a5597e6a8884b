import pytest

from storm_core.errors import InputError
from storm_core.sources.references import Source, parse_reference, parse_sources


def test_source_is_name_adapter_and_path() -> None:
    sources = parse_sources(("chat=messages:chat/a=b:c.jsonl", "tools=bfcl:data#simple_python+multiple"))
    assert sources == [
        Source(name="chat", adapter="messages", path="chat/a=b:c.jsonl"),
        Source(name="tools", adapter="bfcl", path="data#simple_python+multiple"),
    ]


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ((), "sources is empty"),
        (("messages:chat.jsonl",), "must be NAME=ADAPTER:PATH"),
        (("=messages:chat.jsonl",), "must be NAME=ADAPTER:PATH"),
        (("a b=messages:chat.jsonl",), "must be NAME=ADAPTER:PATH"),
        (("chat=csv:chat.csv",), "ADAPTER one of messages, chatterbot, bfcl"),
        (("chat=messages",), "ADAPTER one of"),
        (("chat=messages:a", "chat=messages:b"), "two sources are named 'chat'"),
    ],
)
def test_misspelt_source_is_refused(texts: tuple[str, ...], reason: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_sources(texts)
    assert reason in str(caught.value)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../other", "a/../../b", "a\\b", "a\0b", "..#simple_python"])
def test_path_that_could_leave_the_data_directory_is_refused(path: str) -> None:
    with pytest.raises(InputError, match="relative to the data directory"):
        parse_reference("chat", f"messages:{path}")
