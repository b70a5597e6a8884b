import json
from pathlib import Path

import pytest

from storm_core.artifacts import open_directory, seal
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
        (
            ("chat=csv:chat.csv",),
            "ADAPTER one of messages, openai, sharegpt, conversation, preference, completion, xlam, glaive, "
            "instruction, chatterbot",
        ),
        (("chat=messages",), "ADAPTER one of"),
        (("chat=lm_eval:arc_challenge",), "ADAPTER one of"),
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


def test_hub_data_set_is_opened_at_its_commit_and_may_be_narrowed_to_a_split() -> None:
    uri = f"hf://datasets/org/name@{'a' * 40}"
    assert parse_reference("chat", f"messages:{uri}#train") == Source(
        name="chat", adapter="messages", path=".#train", uri=uri
    )


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("hf://datasets/org/name", "name a commit"),
        ("hf://datasets/org/name@main", "name a commit"),
        ("s3://bucket/data", "must end in the digest"),
        ("file:///data", "must end in the digest"),
        (f"hf://datasets/org/name@{'a' * 40}#../up", "relative to the data directory"),
        ("https://example.org/data.jsonl", "is not a URI of a store"),
    ],
)
def test_uri_whose_content_may_change_is_refused(uri: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        parse_reference("chat", f"messages:{uri}")


def test_source_in_a_store_is_read_from_its_artifact_and_not_from_the_data(tmp_path: Path) -> None:
    stored = tmp_path / "stored"
    stored.mkdir()
    row = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]}
    (stored / "chat.jsonl").write_text(json.dumps(row) + "\n")
    manifest = seal(stored, "data", producer={}, inputs={}, metrics={})
    stored.rename(tmp_path / manifest.digest)
    source = parse_reference("chat", f"messages:file://{tmp_path / manifest.digest}")
    (tmp_path / "other.txt").write_text("x")
    opened = source.open(open_directory(tmp_path / "other.txt"))
    assert opened.digest == manifest.digest
    assert [row.place for row in source.rows(opened)] == ["chat.jsonl:1"]
