"""`storm select` beside Hugging Face datasets: rows per second, peak memory, and how both grow.

    python benchmarks/selection.py [--rows 100000 300000 1000000] [--smoke]

Examples of 200 to 2,800 characters with verdicts made from a seed. Both keep those of value 3 and more that are not
easy, split off a validation part of each source, shuffle, and write Parquet. `datasets` does no more than that; `storm
select` also verifies its inputs' hashes, refuses missing and repeated verdicts, and accounts for every row. Memory
mapped files count into the peak of `datasets`.
"""

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from peak_memory import peak_megabytes

from storm_core.artifacts import seal
from storm_core.records import SCHEMA as EXAMPLES
from storm_core.telemetry import disable_telemetry
from storm_core.verdicts.schema import SCHEMA as VERDICTS
from storm_core.verdicts.settings import write_settings

ROWS = (100_000, 300_000, 1_000_000)
SMOKE_ROWS = (2_000,)
SOURCES = ("chat", "code", "tools")
LEVELS = ("easy", "medium", "hard")
BATCH = 10_000
MIN_VALUE = 3
VALIDATION = 0.0154


def main() -> None:
    disable_telemetry()
    options = parse_options()
    if options.peer:
        select_with_datasets(options.peer)
        return
    print(f"{'rows':>10}  {'':16}{'s':>8}{'rows/s':>10}{'peak MB':>9}{'kept':>10}")
    for rows in SMOKE_ROWS if options.smoke else options.rows:
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            write_corpus(Path(scratch), rows)
            kept = {}
            for name, command in commands(Path(scratch)).items():
                started = time.monotonic()
                megabytes = peak_megabytes(command)
                seconds = time.monotonic() - started
                kept[name] = count_rows(Path(scratch) / name)
                print(f"{rows:10}  {name:16}{seconds:8.1f}{rows / seconds:10.0f}{megabytes:9.0f}{kept[name]:10}")
        if len(set(kept.values())) != 1:
            sys.exit("they do not keep the same number of rows")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure `storm select` on synthetic verdicts.")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help=f"sizes (default {ROWS})")
    parser.add_argument("--scratch", type=Path, help="where to write the corpora, about 4 KB a row")
    parser.add_argument("--smoke", action="store_true", help=f"sizes {SMOKE_ROWS}")
    parser.add_argument("--peer", type=Path, help="run the peer alone, on a corpus in this directory")
    return parser.parse_args()


def commands(scratch: Path) -> dict[str, list[str]]:
    """The command of each contender; it writes its rows into the directory of its name."""
    ours = [sys.executable, "-m", "storm_core.cli", "select", "--examples", str(scratch / "examples")]
    ours += ["--verdicts", json.dumps([str(scratch / "verdicts")]), "--validation-fraction", str(VALIDATION)]
    ours += ["--selection", str(scratch / "storm select")]
    return {"storm select": ours, "datasets": [sys.executable, __file__, "--peer", str(scratch)]}


def write_corpus(scratch: Path, rows: int) -> None:
    """Write an examples and a verdicts artifact, batch by batch."""
    generator = random.Random(0)  # noqa: S311 (not a secret)
    text = "".join(generator.choices("abcdefghijklmnopqrstuvwxyz     ", k=4_000_000))
    examples, verdicts = scratch / "examples", scratch / "verdicts"
    examples.mkdir()
    verdicts.mkdir()
    counts = dict.fromkeys(SOURCES, 0)
    with (
        pq.ParquetWriter(examples / "shard-00000.parquet", EXAMPLES) as example_writer,
        pq.ParquetWriter(verdicts / "verdicts.parquet", VERDICTS) as verdict_writer,
    ):
        for start in range(0, rows, BATCH):
            ids = [hashlib.sha256(str(row).encode()).hexdigest() for row in range(start, min(rows, start + BATCH))]
            sources = generator.choices(SOURCES, k=len(ids))
            for source in sources:
                counts[source] += 1
            messages = [turns(generator, text) for _ in ids]
            table = {"id": ids, "source": sources, "messages": messages, "meta": ["{}"] * len(ids)}
            example_writer.write_table(pa.table(table, schema=EXAMPLES), row_group_size=1000)
            answers = list(made_verdicts(generator, ids, sources))
            verdict_writer.write_table(pa.Table.from_pylist(answers, schema=VERDICTS))
    ledger = {source: {"read": count, "kept": count, "dropped": {}} for source, count in counts.items()}
    (examples / "ledger.json").write_text(json.dumps({"sources": ledger}), encoding="utf-8")
    write_settings(verdicts, {})
    for directory in (examples, verdicts):
        seal(directory, directory.name, producer={}, inputs={}, metrics={})


def turns(generator: random.Random, text: str) -> list[dict[str, str]]:
    """A question and an answer."""
    lengths = (generator.randint(100, 400), generator.randint(100, 2_400))
    starts = [generator.randrange(len(text) - length) for length in lengths]
    question, answer = (text[start : start + length] for start, length in zip(starts, lengths, strict=True))
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def made_verdicts(generator: random.Random, ids: Sequence[str], sources: Sequence[str]) -> Iterator[dict[str, object]]:
    """The educational value of each example, and the difficulty where that is high enough."""
    shared = {"judge_digest": "j" * 64, "label_mass": 0.9, "unseen_mass": 0.0, "tokens": 300, "truncated": False}
    for id, source in zip(ids, sources, strict=True):
        value = generator.randint(1, 5)
        yield verdict("educational_value", tuple("12345"), value - 1) | shared | {"id": id, "source": source}
        if value >= MIN_VALUE:
            level = generator.choices((0, 1, 2), (25, 50, 25))[0]
            yield verdict("difficulty", LEVELS, level) | shared | {"id": id, "source": source}


def verdict(rubric: str, labels: tuple[str, ...], place: int) -> dict[str, object]:
    return {
        "rubric": rubric,
        "rubric_hash": rubric,
        "labels": labels,
        "values": [number + 1.0 for number in range(len(labels))],
        "probabilities": [float(number == place) for number in range(len(labels))],
        "label": labels[place],
        "expected_value": place + 1.0,
    }


def select_with_datasets(scratch: Path) -> None:
    """The same selection as it is usually written: filter by a dictionary of verdicts, split, shuffle, write."""
    from datasets import ClassLabel, Dataset  # noqa: PLC0415 (the peer's process alone)

    columns = ["id", "rubric", "label"]
    values: dict[str, int] = {}
    levels: dict[str, str] = {}
    for batch in pq.ParquetFile(scratch / "verdicts" / "verdicts.parquet").iter_batches(columns=columns):
        for row in batch.to_pylist():
            if row["rubric"] == "difficulty":
                levels[row["id"]] = row["label"]
            else:
                values[row["id"]] = int(row["label"])
    examples = Dataset.from_parquet(
        str(scratch / "examples" / "shard-00000.parquet"), cache_dir=str(scratch / "datasets-cache")
    )
    kept = examples.filter(
        lambda ids: [values[id] >= MIN_VALUE and levels[id] != "easy" for id in ids],
        input_columns="id",
        batched=True,
    )
    kept = kept.cast_column("source", ClassLabel(names=list(SOURCES)))
    parts = kept.train_test_split(test_size=VALIDATION, stratify_by_column="source", seed=0)
    output = scratch / "datasets"
    output.mkdir()
    parts["train"].shuffle(seed=0).to_parquet(str(output / "train.parquet"))
    parts["test"].shuffle(seed=0).to_parquet(str(output / "validation.parquet"))


def count_rows(directory: Path) -> int:
    return sum(pq.read_metadata(path).num_rows for path in directory.glob("*.parquet"))


if __name__ == "__main__":
    main()
