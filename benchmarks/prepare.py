"""`storm prepare` on synthetic conversations: rows per second, peak memory, how both grow, and what it finds.

    python benchmarks/prepare.py [--rows 10000 100000 1000000] [--smoke]

Each corpus is made of random words of a Zipf distribution, from a seed, with known exact copies, near copies and rows
that quote an evaluation; so recall and precision are measured too. A row has 40 to 440 words. In near copies one word
in a hundred is replaced; one counts as near duplicate if the Jaccard similarity of its shingles is 0.8 or more.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase

import pyarrow.parquet as pq
from peak_memory import peak_megabytes

ROWS = (10_000, 100_000, 1_000_000)
SMOKE_ROWS = (1_000, 4_000)
# Of a hundred rows: exact copies, near copies, rows that quote an evaluation item, rows of unrelated text.
KINDS = {"exact": 5, "near": 5, "quoting": 1, "fresh": 89}
EVALUATION_ITEMS = 1_000
QUOTED_WORDS = 16
REPLACED = 1 / 100
SHINGLE_WORDS = 5
THRESHOLD = 0.8


@dataclass(frozen=True)
class Planted:
    """What a row of the corpus is, and for a copy, the line of what it copies."""

    kind: str
    original: int = 0


@dataclass(frozen=True)
class Result:
    """What one run took and found; recall and precision by kind."""

    rows: int
    seconds: float
    megabytes: float
    recall: dict[str, float]
    precision: dict[str, float]


def main() -> None:
    options = parse_options()
    print(f"{'rows':>10}{'s':>9}{'rows/s':>9}{'peak MB':>9}   recall (exact, near, quoting) / precision")
    for rows in SMOKE_ROWS if options.smoke else options.rows:
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            result = measure(rows, Path(scratch))
        found = " ".join(f"{result.recall[kind]:.4f}/{result.precision[kind]:.4f}" for kind in result.recall)
        print(f"{rows:10}{result.seconds:9.1f}{rows / result.seconds:9.0f}{result.megabytes:9.0f}   {found}")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure `storm prepare` on synthetic conversations.")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help=f"sizes (default {ROWS})")
    parser.add_argument("--scratch", type=Path, help="where to write the corpora, about 2 KB a row")
    parser.add_argument("--smoke", action="store_true", help=f"sizes {SMOKE_ROWS}")
    return parser.parse_args()


def measure(rows: int, scratch: Path) -> Result:
    """Make a corpus, prepare it in a process of its own, and compare what was dropped with what should be."""
    data, output = scratch / "data", scratch / "examples"
    data.mkdir()
    expected = write_corpus(data, rows)
    started = time.monotonic()
    megabytes = prepare(data, output)
    seconds = time.monotonic() - started
    found = {line_of(row["place"]): row["reason"] for row in pq.read_table(output / "rejected.parquet").to_pylist()}
    return Result(rows, seconds, megabytes, *compare(expected, found))


def write_corpus(data: Path, rows: int) -> list[Planted]:
    """Write `train.jsonl` and `evaluation.jsonl`; returns what each row is."""
    generator = random.Random(0)  # noqa: S311 (not a secret)
    # Without digits: near copies that differ in numbers are two tasks.
    vocabulary = ["".join(letters) for letters in islice(product(ascii_lowercase, repeat=4), 50_000)]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    # Drawn ahead, since drawing by weight is slow; a million words in random order are as good as endless ones.
    pool = generator.choices(vocabulary, weights, k=1_000_000)
    items = [draw(generator, pool, 40) for _ in range(EVALUATION_ITEMS)]
    write_rows(data / "evaluation.jsonl", ((item, draw(generator, pool, 10)) for item in items))
    planted: list[Planted] = []
    write_rows(data / "train.jsonl", corpus(generator, pool, items, rows, planted))
    return planted


def corpus(
    generator: random.Random, pool: list[str], items: list[list[str]], rows: int, planted: list[Planted]
) -> Iterator[tuple[list[str], list[str]]]:
    """Question and answer of each row. Copies are of recent fresh rows, so that memory does not grow with `rows`."""
    recent: list[tuple[int, list[str], list[str]]] = []
    for line in range(1, rows + 1):
        (kind,) = generator.choices(list(KINDS), list(KINDS.values()))
        question, answer = (
            draw(generator, pool, generator.randint(10, 40)),
            draw(generator, pool, generator.randint(30, 400)),
        )
        if kind == "quoting":
            item = generator.choice(items)
            start = generator.randrange(len(item) - QUOTED_WORDS)
            answer = [*answer[:20], *item[start : start + QUOTED_WORDS], *answer[20:]]
            planted.append(Planted(kind))
        elif kind == "fresh" or not recent:
            recent = [*recent[-999:], (line, question, answer)]
            planted.append(Planted("fresh"))
        else:
            # Each is copied once at most, so that the number of duplicates is known.
            original, question, copied = recent.pop(generator.randrange(len(recent)))
            answer = copied if kind == "exact" else replace_words(generator, pool, copied)
            near = kind == "near" and similarity([*question, *copied], [*question, *answer]) >= THRESHOLD
            planted.append(Planted(kind if kind == "exact" or near else "fresh", original))
        yield question, answer


def similarity(first: list[str], second: list[str]) -> float:
    """The Jaccard similarity of two texts' shingles."""
    one, other = (
        {tuple(words[start : start + SHINGLE_WORDS]) for start in range(len(words) - SHINGLE_WORDS + 1)}
        for words in (first, second)
    )
    return len(one & other) / len(one | other)


def draw(generator: random.Random, pool: list[str], count: int) -> list[str]:
    start = generator.randrange(len(pool) - count)
    words = pool[start : start + count]
    generator.shuffle(words)
    return words


def replace_words(generator: random.Random, pool: list[str], words: list[str]) -> list[str]:
    changed = list(words)
    for position in generator.sample(range(len(words)), max(1, round(len(words) * REPLACED))):
        changed[position] = generator.choice(pool)
    return changed


def write_rows(path: Path, rows: Iterator[tuple[list[str], list[str]]]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for question, answer in rows:
            stream.write(json.dumps({"instruction": " ".join(question), "output": " ".join(answer)}) + "\n")


def prepare(data: Path, output: Path) -> float:
    """Run the stage; returns its peak resident memory in MB."""
    options = {"sources": '["train=messages:train.jsonl"]', "held-out": '["messages:evaluation.jsonl"]'}
    command = [sys.executable, "-m", "storm_core.cli", "prepare", "--data", str(data), "--examples", str(output)]
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    return peak_megabytes([*command, *arguments])


def line_of(place: str) -> int:
    return int(place.rpartition(":")[2])


def compare(expected: list[Planted], found: dict[int, str]) -> tuple[dict[str, float], dict[str, float]]:
    """Recall and precision by kind. Of a pair of near copies either may be the one that goes."""
    reasons = {"exact": "duplicate", "near": "near_duplicate", "quoting": "contaminated"}
    lines: dict[str, list[tuple[int, ...]]] = {kind: [] for kind in reasons}
    for line, row in enumerate(expected, start=1):
        if row.kind in reasons:
            lines[row.kind].append((line, row.original) if row.kind == "near" else (line,))
    counted = Counter(found.values())
    right = {
        kind: sum(any(found.get(line) == reason for line in either) for either in lines[kind])
        for kind, reason in reasons.items()
    }
    recall = {kind: right[kind] / max(1, len(lines[kind])) for kind in reasons}
    precision = {kind: right[kind] / max(1, counted[reason]) for kind, reason in reasons.items()}
    return recall, precision


if __name__ == "__main__":
    main()
