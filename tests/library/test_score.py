"""`score` on what a person in a notebook has: lists, rows of any published shape, files, and what `prepare` wrote."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import storm_core as storm
from storm_core.cli import main
from storm_core.library.conversations import Conversations
from storm_core.records import Message, make_example, write_examples

TALKS = [
    [{"role": "user", "content": f"What is a fox? {number}"}, {"role": "assistant", "content": "An animal. " * number}]
    for number in (1, 9, 3)
]


@pytest.fixture(scope="module")
def verdicts(tiny_llama: Path) -> storm.Verdicts:
    """On the conversations above, difficulty asked of all."""
    return storm.score(tiny_llama, TALKS, min_educational_value=1.0, dtype="float32")


def test_a_list_gets_the_verdicts_that_the_stage_gives(
    verdicts: storm.Verdicts, tiny_llama: Path, tmp_path: Path
) -> None:
    examples = [make_example("examples", [Message(**message) for message in talk]) for talk in TALKS]
    (tmp_path / "examples").mkdir()
    write_examples(tmp_path / "examples/shard-00000.parquet", examples)
    flags = ["--model", str(tiny_llama), "--min-educational-value", "1.0", "--dtype", "float32"]
    assert main(["score", *flags, "--examples", str(tmp_path / "examples"), "--verdicts", str(tmp_path / "v")]) == 0
    assert verdicts.rows.equals(pq.read_table(tmp_path / "v/verdicts.parquet"))
    assert verdicts.rows.num_rows == 6


def test_iterating_gives_each_example_with_both_verdicts_in_the_order_given(verdicts: storm.Verdicts) -> None:
    assert [judged.question for judged in verdicts] == [talk[0]["content"] for talk in TALKS]
    for judged in verdicts:
        assert judged.difficulty and judged.difficulty.id == judged.educational_value.id
        assert judged.educational_value.rubric == "educational_value"
        assert sum(judged.educational_value.probabilities) == pytest.approx(1)
    assert len(verdicts) == 3


def test_table_has_a_row_for_each_example(verdicts: storm.Verdicts) -> None:
    rows = verdicts.table.to_pylist()
    assert [row["question"] for row in rows] == [judged.question for judged in verdicts]
    assert [row["difficulty"] for row in rows] == [judged.difficulty.label for judged in verdicts if judged.difficulty]
    assert {row["source"] for row in rows} == {"examples"}


def test_difficulty_that_was_not_asked_is_none(tiny_llama: Path) -> None:
    found = storm.score(tiny_llama, TALKS, min_educational_value=6.0)
    assert [judged.difficulty for judged in found] == [None, None, None]
    assert found.table["difficulty"].null_count == 3
    assert "not asked" in repr(found)


@pytest.mark.parametrize(
    "given",
    [
        [{"messages": talk, "score": object()} for talk in TALKS],
        [tuple(talk) for talk in TALKS],
        [{"instruction": talk[0]["content"], "output": talk[1]["content"]} for talk in TALKS],
        [
            {
                "conversations": [
                    {"from": "human", "value": talk[0]["content"]},
                    {"from": "gpt", "value": talk[1]["content"]},
                ]
            }
            for talk in TALKS
        ],
    ],
    ids=["rows with more columns", "tuples", "instructions", "ShareGPT"],
)
def test_other_shapes_are_the_same_examples(given: Any, verdicts: storm.Verdicts, tiny_llama: Path) -> None:
    found = storm.score(tiny_llama, iter(given), min_educational_value=1.0, dtype="float32")
    assert found.rows.equals(verdicts.rows)


def test_a_file_of_json_lines_is_read_and_names_the_source(
    verdicts: storm.Verdicts, tiny_llama: Path, tmp_path: Path
) -> None:
    file = tmp_path / "foxes.jsonl"
    file.write_text("".join(json.dumps({"messages": talk}) + "\n" for talk in TALKS))
    found = storm.score(tiny_llama, file, min_educational_value=1.0, dtype="float32")
    assert set(found.table["source"].to_pylist()) == {"foxes"}
    assert found.rows["probabilities"].equals(verdicts.rows["probabilities"])


def test_what_prepare_wrote_is_read_by_shard(tiny_llama: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "chat.jsonl").write_text("".join(json.dumps({"messages": talk}) + "\n" for talk in TALKS))
    flags = ["--data", str(data), "--sources", '["chat=messages:chat.jsonl"]', "--shards", "2"]
    flags += ["--drop-near-duplicates", "false"]
    assert main(["prepare", *flags, "--examples", str(tmp_path / "examples")]) == 0
    shards = [storm.score(tiny_llama, tmp_path / "examples", shard=shard) for shard in (0, 1)]
    asked = [judged.question for verdicts in shards for judged in verdicts]
    assert sorted(asked) == sorted(talk[0]["content"] for talk in TALKS)
    with pytest.raises(storm.InputError, match=r"no shard-00002\.parquet"):
        storm.score(tiny_llama, tmp_path / "examples", shard=2)


def test_repeated_example_has_a_row_for_each_time(tiny_llama: Path) -> None:
    assert [judged.question for judged in storm.score(tiny_llama, [TALKS[0], TALKS[1], TALKS[0]])] == [
        TALKS[place][0]["content"] for place in (0, 1, 0)
    ]


def test_kept_output_is_what_the_stage_writes_and_is_used_again(tiny_llama: Path, tmp_path: Path) -> None:
    first = storm.score(tiny_llama, TALKS, tmp_path / "verdicts")
    written = (tmp_path / "verdicts/verdicts.parquet").stat()
    again = storm.score(tiny_llama, TALKS, tmp_path / "verdicts")
    assert (tmp_path / "verdicts/verdicts.parquet").stat() == written
    assert again.rows.equals(first.rows)
    assert again.metrics == first.metrics


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "examples is empty"),
        ({"messages": TALKS[0]}, "examples is one mapping; give a list"),
        (TALKS[0], r"examples\[0\]: no messages: none of messages"),
        ([TALKS[0], TALKS[1][:1]], r"examples\[1\]: the last message is from 'user'"),
        ([TALKS[0], "hello"], r"examples\[1\]: messages is not a list of messages"),
        ([[{"role": "user", "content": b"bytes"}]], r"examples\[0\] is not a conversation of texts"),
        ([[{"role": "user", "content": "\ud800"}, {"role": "assistant", "content": "b"}]], "half a surrogate pair"),
        ("nowhere.jsonl", "nowhere.jsonl does not exist"),
    ],
)
def test_what_is_no_conversation_is_refused_with_its_place(given: Conversations, said: str, tiny_llama: Path) -> None:
    with pytest.raises(storm.InputError, match=said):
        storm.score(tiny_llama, given)


@pytest.mark.parametrize("name", ["foxes", "examples"])
def test_broken_line_of_a_file_is_refused_with_its_place(name: str, tiny_llama: Path, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.jsonl"
    file.write_text(json.dumps({"messages": TALKS[0]}) + "\n\n{oops\n")
    with pytest.raises(storm.InputError, match=rf"{name}\.jsonl:3: not JSON"):
        storm.score(tiny_llama, file)


def test_rubrics_of_ones_own_are_asked(tiny_llama: Path, tmp_path: Path) -> None:
    text = (Path(storm.__file__).parent / "judging/wording/rubrics/educational_value.yaml").read_text()
    (tmp_path / "educational_value.yaml").write_text(text.replace("informative", "artistic"))
    own = storm.score(tiny_llama, TALKS, rubrics=tmp_path)
    usual = storm.score(tiny_llama, TALKS)
    assert {row.educational_value.rubric_hash for row in own} != {row.educational_value.rubric_hash for row in usual}
