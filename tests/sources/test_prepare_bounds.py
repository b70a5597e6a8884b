"""What `prepare` leaves undone: work on rows that are not kept, and work that nobody asked for."""

import contextlib
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from storm_core.errors import InputError
from storm_core.execution import Outcome
from storm_core.records import Message, check_messages
from storm_core.sources.deduplication.spool_index import SpoolIndex

Prepare = Callable[..., Outcome]


def chat_row(question: str, answer: str = "An answer.") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def read_account(directory: Path) -> dict[str, Any]:
    return dict(json.loads((directory / "ledger.json").read_text())["sources"]["chat"])


def test_row_that_is_too_long_is_not_looked_at_any_further(
    write_jsonl: Callable[..., None], prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalize = unicodedata.normalize

    def normalize_short(form: Any, text: str) -> str:
        assert len(text) <= 1000
        return normalize(form, text)

    # Marks in the wrong order take a time that grows with the square of their number.
    marks = "e" + "\u0301\u0323" * 600
    write_jsonl("evaluation.jsonl", [chat_row("Two")])
    write_jsonl("chat.jsonl", [chat_row("One"), chat_row("Two", marks), chat_row("caf\xe9")])
    monkeypatch.setattr(unicodedata, "normalize", normalize_short)
    prepare("chat=messages:chat.jsonl", held_out=("messages:evaluation.jsonl",), max_characters=1000)
    assert read_account(tmp_path / "examples") == {"read": 3, "kept": 2, "dropped": {"too_long": 1}}
    assert pq.read_table(tmp_path / "examples" / "rejected.parquet").to_pylist() == [
        {"source": "chat", "place": "chat.jsonl:2", "reason": "too_long"}
    ]


def test_row_with_endless_combining_marks_is_rejected_before_it_is_normalised(
    write_jsonl: Callable[..., None], prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unicodedata, "normalize", lambda form, text: pytest.fail(text) if len(text) > 1500 else text)
    # The marks lie anywhere between the characters that are looked at first.
    rows = [chat_row("x" * before, "e" + "\u0301\u0323" * 5000) for before in (1, 2)]
    write_jsonl("chat.jsonl", [*rows, chat_row("Fine", "o\u0301" * 500)])
    prepare("chat=messages:chat.jsonl", max_rejected_fraction=1.0)
    assert read_account(tmp_path / "examples") == {"read": 3, "kept": 1, "dropped": {"malformed": 2}}
    (first, _) = pq.read_table(tmp_path / "examples" / "rejected.parquet").to_pylist()
    assert first["reason"] == "malformed: message 1 (assistant) has 1000 combining or invisible characters in a row"


@pytest.mark.parametrize("before", [0, 1, 500, 999, 1000])
@pytest.mark.parametrize(("count", "refused"), [(999, False), (1000, True)])
# A mark that decomposes into two, itself of class 0; and a soft hyphen, which is left out where texts are compared.
@pytest.mark.parametrize("mark", ["\u0301", "\u0f73", "\xad", "\uff9e"])
def test_combining_marks_are_counted_wherever_they_begin(before: int, count: int, refused: bool, mark: str) -> None:
    marks = ("\u0301\u0323" * 500)[: count - 500] + mark * 500
    messages = [Message(role="user", content="x" * (before + 1) + marks + "\xe9" * 1000)]
    messages.append(Message(role="assistant", content="Yes."))
    with (
        pytest.raises(InputError, match="1000 combining or invisible characters")
        if refused
        else contextlib.nullcontext()
    ):
        check_messages(messages)


def test_reason_that_quotes_a_long_row_is_cut(
    write_jsonl: Callable[..., None], prepare: Prepare, tmp_path: Path
) -> None:
    strange = {"messages": [{"role": "x" * 1_000_000, "content": "One"}]}
    arguments = {"role": "function_call", "content": json.dumps({"name": "f" * 1_000_000, "arguments": [1]})}
    write_jsonl("chat.jsonl", [strange, {"messages": [arguments]}, chat_row("Fine")])
    prepare("chat=messages:chat.jsonl", max_rejected_fraction=1.0)
    first, second = pq.read_table(tmp_path / "examples" / "rejected.parquet").column("reason").to_pylist()
    assert first.startswith("malformed: message 0 has role 'xxx")
    assert second.startswith("malformed: the arguments of 'fff")
    for reason in (first, second):
        assert reason.endswith("...")
        assert len(reason) == len("malformed: ...") + 300
    with pytest.raises(InputError) as caught:
        prepare("chat=messages:chat.jsonl", name="strict")
    assert len(str(caught.value)) < 600


def test_long_evaluation_data_is_held_out_all_the_same(
    write_jsonl: Callable[..., None], prepare: Prepare, tmp_path: Path
) -> None:
    write_jsonl("evaluation.jsonl", [chat_row("Two", "x " * 1000)])
    write_jsonl("chat.jsonl", [chat_row("One"), chat_row("Two")])
    prepare("chat=messages:chat.jsonl", held_out=("messages:evaluation.jsonl",), max_characters=1000)
    assert read_account(tmp_path / "examples")["dropped"] == {"held_out_question": 1}


def test_sources_are_not_copied_for_each_near_duplicate(
    write_jsonl: Callable[..., None], prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[int] = []
    sources = vars(SpoolIndex)["sources"].fget

    def counted(spool_index: SpoolIndex) -> Any:
        copies.append(1)
        return sources(spool_index)

    monkeypatch.setattr(SpoolIndex, "sources", property(counted))
    counts = []
    for number in (2, 12):
        copies.clear()
        write_jsonl("chat.jsonl", [chat_row("Same" + "!" * marks) for marks in range(number)])
        assert prepare("chat=messages:chat.jsonl", name=f"n{number}").metrics["dropped_near_duplicate"] == number - 1
        counts.append(len(copies))
    assert counts[0] == counts[1]


def test_without_near_duplicates_to_drop_no_signatures_are_made(
    write_jsonl: Callable[..., None], prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("storm_core.sources.stage.Signatures")
    monkeypatch.delattr("storm_core.sources.ingest.shingles_of")
    write_jsonl("chat.jsonl", [chat_row("Same"), chat_row("Same!"), chat_row("Same")])
    prepare("chat=messages:chat.jsonl", drop_near_duplicates=False)
    assert read_account(tmp_path / "examples")["dropped"] == {"duplicate": 1}


def test_exact_duplicate_is_listed_with_its_twin(
    write_jsonl: Callable[..., None], prepare: Prepare, tmp_path: Path
) -> None:
    write_jsonl("chat.jsonl", [chat_row("One"), chat_row("Two")])
    write_jsonl("more.jsonl", [chat_row("Two")])
    prepare("chat=messages:chat.jsonl", "more=messages:more.jsonl")
    (overlap,) = pq.read_table(tmp_path / "examples" / "overlaps.parquet").to_pylist()
    assert (overlap["place"], overlap["reason"], overlap["matched"]) == ("more.jsonl:1", "duplicate", "chat")
    assert overlap["matched_place"] == overlap["id"]
