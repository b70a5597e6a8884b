"""Properties of `prepare` as a whole, over random mixes of sound, repeated, contaminated and broken rows."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storm_core.artifacts import open_directory
from storm_core.records import Example, read_examples
from storm_core.sources.config import PrepareConfig
from storm_core.sources.stage import run
from storm_core.stage import Inputs

ITEM = " ".join(f"item{number}" for number in range(20))
# None opens an object or an array that the lines behind it would continue.
BROKEN = ["x{", "x[]", '"x"', "\ufeffx", '{"messages": []}', '{"messages": [{"role": "wizard", "content": "x"}]}', "{}"]
BROKEN += [
    '{"instruction": "\\ud800", "output": "x"}',
    '{"instruction": "\\u0000", "output": "x"}',
    '{"a": ' + "[" * 5000 + "]" * 5000 + "}",
    "NaN",
]
BROKEN += ['{"instruction": " ", "output": "x"}', '{"instruction": "x", "output": ["x"]}']
# What a row is, and where it needs one, a number: rows of the same number repeat each other.
KINDS = st.sampled_from(["sound", "near", "quoting", "asking", "long", "broken"])
ROWS = st.lists(st.tuples(KINDS, st.integers(0, 12)), min_size=1, max_size=30)


def spelled(text: str) -> str:
    """The text with letters in the place of digits."""
    return text.translate(str.maketrans("0123456789", "abcdefghij"))


def line(kind: str, number: int) -> str:
    # Without digits, which would tell near duplicates apart.
    words = [spelled(f"w{number}x{position}") for position in range(120)]
    if kind == "broken":
        return BROKEN[number % len(BROKEN)]
    if kind == "near":
        words[60] = "changed"
    if kind == "quoting":
        words[10:10] = ITEM.split()[2:18]
    if kind == "long":
        words *= 20
    question = "What is it?" if kind == "asking" else "Tell me"
    return json.dumps({"instruction": question, "output": " ".join(words)})


def prepare(directory: Path, sources: dict[str, list[str]], **options: Any) -> Path:
    data, output = directory / "data", directory / "out"
    data.mkdir(parents=True)
    output.mkdir()
    for name, lines in sources.items():
        (data / f"{name}.jsonl").write_text("".join(f"{one}\n" for one in lines), encoding="utf-8")
    (data / "evaluation.jsonl").write_text(
        json.dumps({"instruction": ITEM, "output": "yes"})
        + "\n"
        + json.dumps({"instruction": "What is it?", "output": "x"})
    )
    config = PrepareConfig(
        sources=tuple(f"{name}=messages:{name}.jsonl" for name in sources),
        held_out=("messages:evaluation.jsonl",),
        max_rejected_fraction=1.0,
        max_characters=5000,
        shards=3,
        **options,
    )
    run(config, Inputs({"data": [open_directory(data)]}), {"examples": output})
    return output


def kept_examples(output: Path) -> list[Example]:
    return [example for shard in sorted(output.glob("shard-*")) for example in read_examples(shard)]


@given(first=ROWS, second=ROWS, limit=st.integers(1, 10))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ledger_adds_up_and_places_every_row_for_any_mix(
    tmp_path_factory: pytest.TempPathFactory, first: list[tuple[str, int]], second: list[tuple[str, int]], limit: int
) -> None:
    # At least one row stays, whatever the mix.
    lines = {"a": [line(*row) for row in [*first, ("sound", 99)]], "b": [line(*row) for row in second]}
    output = prepare(tmp_path_factory.mktemp("mix"), lines, max_examples_per_source=limit)
    accounts = json.loads((output / "ledger.json").read_text())["sources"]
    rejected = pq.read_table(output / "rejected.parquet").to_pylist()
    kept = kept_examples(output)
    in_shards = Counter(example.source for example in kept)
    for source, rows in lines.items():
        account = accounts[source]
        assert account["read"] == len(rows)
        assert account["kept"] == in_shards[source] <= limit
        assert account["read"] == account["kept"] + sum(account["dropped"].values())
        reasons = Counter(row["reason"].partition(":")[0] for row in rejected if row["source"] == source)
        assert dict(reasons) == account["dropped"]
    placed = [(row["source"], row["place"]) for row in rejected] + [(one.source, one.meta["place"]) for one in kept]
    assert sorted(placed) == sorted(
        (name, f"{name}.jsonl:{n}") for name in lines for n in range(1, len(lines[name]) + 1)
    )


@given(rows=ROWS, seed=st.integers(0, 1000))
@settings(max_examples=25)
def test_what_stays_does_not_depend_on_the_order_of_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]], seed: int
) -> None:
    lines = [line(*row) for row in [*rows, ("sound", 99)]]
    shuffled = random.Random(seed).sample(lines, len(lines))  # noqa: S311 (not a secret)
    outputs = [
        prepare(tmp_path_factory.mktemp("order"), {"a": listed}, max_examples_per_source=8)
        for listed in (lines, shuffled)
    ]
    first, second = ([example.id for example in kept_examples(output)] for output in outputs)
    assert first == second


@given(rows=ROWS)
@settings(max_examples=25)
def test_planted_repeats_and_quotes_are_dropped_and_reported(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]]
) -> None:
    lines = [line(*row) for row in [*rows, ("sound", 99)]]
    output = prepare(tmp_path_factory.mktemp("planted"), {"a": lines})
    dropped = json.loads((output / "ledger.json").read_text())["sources"]["a"]["dropped"]
    kinds = Counter(kind for kind, _ in rows)
    plain = {number for kind, number in rows if kind in ("sound", "near")}
    assert dropped.get("contaminated", 0) == kinds["quoting"]
    assert dropped.get("held_out_question", 0) == kinds["asking"]
    assert dropped.get("too_long", 0) == kinds["long"]
    # Of each number one stays, whether it comes as it is, changed in one word, or both ways.
    assert len(kept_examples(output)) == len(plain) + 1
    overlaps = pq.read_table(output / "overlaps.parquet").to_pylist()
    ngrams = {row["evidence"] for row in overlaps if row["reason"] == "contaminated"}
    assert ngrams <= {" ".join(ITEM.split()[2:15])}
    assert {row["matched_place"] for row in overlaps if row["reason"] == "contaminated"} <= {"evaluation.jsonl:1"}
    ids = {example.id for example in kept_examples(output)}
    assert all(row["matched_place"] in ids for row in overlaps if row["reason"] == "near_duplicate")


def test_of_near_duplicates_the_one_of_the_source_listed_first_stays(tmp_path: Path) -> None:
    for first, second in (("a", "b"), ("b", "a")):
        lines = {first: [line("sound", 1)], second: [line("near", 1), line("sound", 2)]}
        output = prepare(tmp_path / first, lines)
        ledger = json.loads((output / "ledger.json").read_text())["sources"]
        assert ledger[first]["kept"] == 1
        assert ledger[second]["dropped"] == {"near_duplicate": 1}
        (overlap,) = pq.read_table(output / "overlaps.parquet").to_pylist()
        assert (overlap["source"], overlap["matched"]) == (second, first)
        assert float(overlap["evidence"].removeprefix("similarity ")) > 0.8


def test_near_duplicates_stay_where_they_are_wanted(tmp_path: Path) -> None:
    output = prepare(tmp_path, {"a": [line("sound", 1), line("near", 1)]}, drop_near_duplicates=False)
    assert len(kept_examples(output)) == 2


def test_conversations_without_any_word_are_not_taken_for_each_other(tmp_path: Path) -> None:
    lines = [json.dumps({"instruction": one, "output": "!"}) for one in ("?", "...", "\U0001f600")]
    assert len(kept_examples(prepare(tmp_path, {"a": lines}))) == 3


def test_shards_stay_sorted_and_balanced_when_dealt_in_many_partitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storm_core.examples.order._PARTITION_ROWS", 7)
    lines = [json.dumps({"instruction": f"q{number}", "output": f"a{number}"}) for number in range(100)]
    output = prepare(tmp_path, {"a": lines})
    shards = [[one.id for one in read_examples(path)] for path in sorted(output.glob("shard-*"))]
    assert [len(shard) for shard in shards] == [34, 33, 33]
    assert all(shard == sorted(shard) for shard in shards)
    assert [ids[position] for position in range(33) for ids in shards] == sorted(id for ids in shards for id in ids)[
        :99
    ]


def test_evaluation_sets_of_a_suite_are_held_out(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "trivia.yml").write_text("conversations:\n- - What is the capital?\n  - Paris\n- - Who?\n  - Me\n")
    suite = {
        "dtype": "float32",
        "seeds": {"sample": 0, "random": 0, "numpy": 0, "torch": 0, "fewshot": 0},
        "benchmarks": [
            {
                "name": "trivia",
                "title": "Trivia",
                "kind": "lm_eval",
                "task": "trivia",
                "metric": "acc",
                "apply_chat_template": True,
                "fewshot_as_multiturn": False,
                "batch_size": 1,
                "questions": {"path": "trivia.yml", "samples": 2, "distractors": 1, "definition": {}},
            }
        ],
    }
    (data / "own.yaml").write_text(json.dumps(suite))
    rows = [{"instruction": "what is the  CAPITAL?", "output": "Rome"}, {"instruction": "Where?", "output": "Here"}]
    pq.write_table(pa.Table.from_pylist(rows), data / "chat.parquet")
    output = tmp_path / "out"
    output.mkdir()
    config = PrepareConfig(sources=("chat=instruction:chat.parquet",), held_out_suites=("own.yaml",))
    run(config, Inputs({"data": [open_directory(data)]}), {"examples": output})
    ledger = json.loads((output / "ledger.json").read_text())
    assert ledger["held_out"] == {"own:trivia": {"read": 2, "malformed": 0, "matched": 1}}
    assert ledger["sources"]["chat"]["dropped"] == {"held_out_question": 1}
