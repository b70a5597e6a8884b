import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from storm_core import cli
from storm_core.artifacts import open_directory
from storm_core.errors import InputError
from storm_core.execution import Outcome
from storm_core.records import Example, read_examples
from storm_core.sources.decontamination.held_out import normalise_question
from storm_core.sources.shards import rank_by_id

REAL_DATA = Path(__file__).parents[2] / ".data"
Prepare = Callable[..., Outcome]


def chat_row(question: str, answer: str = "An answer.") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def read_shards(directory: Path) -> list[list[Example]]:
    return [list(read_examples(path)) for path in sorted(directory.glob("shard-*.parquet"))]


def read_ledger(directory: Path) -> dict[str, Any]:
    return dict(json.loads((directory / "ledger.json").read_text()))


def read_rejected(directory: Path) -> list[dict[str, str]]:
    return list(pq.read_table(directory / "rejected.parquet").to_pylist())


def test_every_row_is_kept_or_dropped_for_a_reason(
    write_jsonl: Callable[..., None], prepare: Prepare, tmp_path: Path
) -> None:
    rows = [
        chat_row("One"),
        chat_row("one  "),
        chat_row("One "),
        {"text": "?"},
        chat_row("x" * 50),
        chat_row("Held OUT"),
    ]
    write_jsonl("a.jsonl", [*rows, chat_row("Two"), chat_row("Three")])
    write_jsonl("b.jsonl", [chat_row("Two"), chat_row("Four")])
    write_jsonl("evaluation.jsonl", [chat_row("held out")])
    outcome = prepare(
        "a=messages:a.jsonl",
        "b=messages:b.jsonl",
        held_out=("messages:evaluation.jsonl",),
        max_rejected_fraction=0.2,
        max_characters=40,
        max_examples_per_source=2,
    )
    directory = tmp_path / "examples"
    assert read_ledger(directory) == {
        "held_out": {"messages:evaluation.jsonl": {"malformed": 0, "read": 1, "matched": 1}},
        "origins": {},
        "sources": {
            "a": {
                "read": 8,
                "kept": 2,
                "dropped": {
                    "duplicate": 1,
                    "near_duplicate": 1,
                    "held_out_question": 1,
                    "malformed": 1,
                    "over_source_limit": 1,
                    "too_long": 1,
                },
            },
            "b": {"read": 2, "kept": 1, "dropped": {"duplicate": 1}},
        },
    }
    assert outcome.metrics["read"] == 10
    assert outcome.metrics["kept"] == 3
    rejected = read_rejected(directory)
    assert len(rejected) == 7
    assert rejected[:2] == [
        {
            "source": "a",
            "place": "a.jsonl:4",
            "reason": "malformed: no messages: none of messages, conversations, conversation, chosen, completion, "
            "answers, chat, instruction; the row has text",
        },
        {"source": "a", "place": "a.jsonl:5", "reason": "too_long"},
    ]
    assert {"source": "a", "place": "a.jsonl:3", "reason": "duplicate"} in rejected


def test_ids_places_and_shards_of_what_is_kept(
    write_jsonl: Callable[..., None], prepare: Prepare, tmp_path: Path
) -> None:
    write_jsonl("chat.jsonl", [chat_row(f"Question {number}") for number in range(10)])
    outcome = prepare("chat=messages:chat.jsonl", shards=3)
    shards = read_shards(tmp_path / "examples")
    assert outcome.values["shard_indices"] == [0, 1, 2]
    assert sorted(len(shard) for shard in shards) == [3, 3, 4]
    for shard in shards:
        assert [example.id for example in shard] == sorted(example.id for example in shard)
        for example in shard:
            line = int(example.messages[0].content.removeprefix("Question ")) + 1
            assert example.meta == {"place": f"chat.jsonl:{line}"}
            assert example.source == "chat"


def test_shards_do_not_depend_on_the_order_of_rows(
    write_jsonl: Callable[..., None], prepare: Prepare, tmp_path: Path
) -> None:
    rows = [chat_row(f"Question {number}") for number in range(20)]
    found = []
    for name, ordered in {"forwards": rows, "backwards": rows[::-1]}.items():
        write_jsonl("chat.jsonl", ordered)
        prepare("chat=messages:chat.jsonl", shards=3, max_examples_per_source=15, name=name)
        found.append([[example.id for example in shard] for shard in read_shards(tmp_path / name)])
    assert found[0] == found[1]


def test_fewer_examples_than_shards_leave_no_empty_shard(
    write_jsonl: Callable[..., None], prepare: Prepare, tmp_path: Path
) -> None:
    write_jsonl("chat.jsonl", [chat_row("One"), chat_row("Two")])
    assert prepare("chat=messages:chat.jsonl", shards=8).values["shard_indices"] == [0, 1]
    names = {path.name for path in (tmp_path / "examples").iterdir()}
    assert names == {
        "shard-00000.parquet",
        "shard-00001.parquet",
        "rejected.parquet",
        "overlaps.parquet",
        "ledger.json",
        "manifest.json",
    }


def test_row_without_messages_stops_with_file_and_line_and_leaves_nothing(
    write_jsonl: Callable[..., None], prepare: Prepare, tmp_path: Path
) -> None:
    write_jsonl("chat.jsonl", [chat_row("One"), {"messages": []}])
    with pytest.raises(InputError, match=r"chat\.jsonl:2: no messages: .*max_rejected_fraction"):
        prepare("chat=messages:chat.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_more_malformed_rows_than_allowed_stop_and_as_many_as_allowed_do_not(
    write_jsonl: Callable[..., None], prepare: Prepare
) -> None:
    write_jsonl("chat.jsonl", [chat_row("One"), {}, chat_row("Two"), {}])
    with pytest.raises(InputError, match=r"chat\.jsonl:2.*2 of 4 rows"):
        prepare("chat=messages:chat.jsonl", max_rejected_fraction=0.49)
    assert prepare("chat=messages:chat.jsonl", max_rejected_fraction=0.5).metrics["dropped_malformed"] == 2


def test_malformed_evaluation_data_stops_too(write_jsonl: Callable[..., None], prepare: Prepare) -> None:
    write_jsonl("chat.jsonl", [chat_row("One")])
    write_jsonl("evaluation.jsonl", [{}])
    with pytest.raises(InputError, match=r"evaluation\.jsonl:1"):
        prepare("chat=messages:chat.jsonl", held_out=("messages:evaluation.jsonl",))


def test_half_a_surrogate_pair_is_a_malformed_row(write_jsonl: Callable[..., None], prepare: Prepare) -> None:
    write_jsonl("chat.jsonl", [chat_row("One"), chat_row("\ud83d")])
    with pytest.raises(InputError, match=r"chat\.jsonl:2: message 0 holds half a surrogate pair"):
        prepare("chat=messages:chat.jsonl")


def test_reason_with_half_a_surrogate_pair_and_file_of_another_encoding_are_written(
    data: Path, prepare: Prepare, tmp_path: Path
) -> None:
    rows = [chat_row("One"), chat_row("Two"), {"messages": "\ud83d"}]
    name = os.fsdecode(b"caf\xe9.jsonl")
    (data / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    prepare("chat=messages:.", shards=1, max_rejected_fraction=0.5)
    ((one, two),) = read_shards(tmp_path / "examples")
    assert {one.meta["place"], two.meta["place"]} == {r"caf\udce9.jsonl:1", r"caf\udce9.jsonl:2"}
    assert [row["place"] for row in read_rejected(tmp_path / "examples")] == [r"caf\udce9.jsonl:3"]


def test_row_that_is_lost_on_its_way_into_the_shards_is_an_error(
    write_jsonl: Callable[..., None], prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_one(kept: Any, ids: Any) -> Any:
        return rank_by_id(kept[:-1], ids)

    monkeypatch.setattr("storm_core.sources.shards.rank_by_id", lose_one)
    write_jsonl("chat.jsonl", [chat_row(f"Question {number}") for number in range(10)])
    with pytest.raises(ValueError, match=r"chat: the shards hold 9 examples, its account says .*'kept': 10"):
        prepare("chat=messages:chat.jsonl")


def test_nothing_left_is_an_error_that_says_why(write_jsonl: Callable[..., None], prepare: Prepare) -> None:
    write_jsonl("chat.jsonl", [chat_row("One"), chat_row("Two")])
    with pytest.raises(InputError, match="no example is left to learn from: 2 rows read, 2 held_out_question dropped"):
        prepare("chat=messages:chat.jsonl", held_out=("messages:chat.jsonl",))


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_source_without_rows_is_an_error(data: Path, prepare: Prepare, content: str) -> None:
    (data / "chat.jsonl").write_text(content)
    with pytest.raises(InputError, match="chat has no rows"):
        prepare("chat=messages:chat.jsonl")


def test_missing_source_is_an_error_that_names_it(write_jsonl: Callable[..., None], prepare: Prepare) -> None:
    write_jsonl("chat.jsonl", [chat_row("One")])
    with pytest.raises(InputError, match=r"no \.jsonl, .* or \.arrow file at chats"):
        prepare("chat=messages:chats")


def test_same_input_gives_the_same_bytes(write_jsonl: Callable[..., None], prepare: Prepare, tmp_path: Path) -> None:
    write_jsonl("chat.jsonl", [chat_row(f"Question {number}") for number in range(30)])
    for name in ("first", "second"):
        prepare("chat=messages:chat.jsonl", shards=4, name=name)
    assert open_directory(tmp_path / "first").digest == open_directory(tmp_path / "second").digest


def test_real_data_keeps_no_question_or_tool_of_the_evaluation(tmp_path: Path) -> None:
    output = tmp_path / "examples"
    arguments = ["prepare", "--data", str(REAL_DATA), "--examples", str(output), "--max-rejected-fraction", "0.01"]
    sources = ["chat=chatterbot:chatterbot_corpus/data/english", "tools=bfcl:bfcl_eval/data#live_simple+live_multiple"]
    held_out = ["bfcl:bfcl_eval/data#simple_python+multiple", "chatterbot:chatterbot_corpus/data/english/trivia.yml"]
    values = tmp_path / "shard_indices"
    options = ["--sources", json.dumps(sources), "--held-out", json.dumps(held_out), "--shards", "2"]
    assert cli.main([*arguments, *options, "--shard-indices", str(values)]) == 0
    assert json.loads(values.read_text()) == [0, 1]

    accounts = read_ledger(output)["sources"]
    assert {name: account["read"] for name, account in accounts.items()} == {"chat": 2026, "tools": 1311}
    for account in accounts.values():
        assert account["read"] == account["kept"] + sum(account["dropped"].values())
    assert accounts["tools"]["dropped"]["no_right_answer"] == 4
    dropped: Counter[str] = Counter()
    for account in accounts.values():
        dropped.update(account["dropped"])
    assert Counter(row["reason"].split(":")[0] for row in read_rejected(output)) == dropped

    tools, questions = _evaluation_tools_and_questions()
    for example in (example for shard in read_shards(output) for example in shard):
        assert tools.isdisjoint(example.meta.get("tools", ()))
        assert normalise_question(example.messages[-2].content) not in questions


def _evaluation_tools_and_questions() -> tuple[set[str], set[str]]:
    tools: set[str] = set()
    questions: set[str] = set()
    for category in ("simple_python", "multiple"):
        file = REAL_DATA / f"bfcl_eval/data/BFCL_v4_{category}.json"
        for entry in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            tools.update(tool["name"] for tool in entry["function"])
            questions.add(normalise_question(entry["question"][0][-1]["content"]))
    return tools, questions
