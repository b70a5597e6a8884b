"""Rows and data files of every layout, changed: each row is read or rejected with its reason, or the file refused."""

import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

from storm_core.artifacts import open_directory
from storm_core.evaluation.questions import multiple_choice, read_pairs
from storm_core.examples.words import WordHashes
from storm_core.records import Example, read_examples, write_examples
from storm_core.sources.ingest import shingles_of
from storm_core.sources.reading import read_source
from storm_core.sources.references import parse_reference
from storm_core.toolcalls.ast_check import check_calls
from storm_core.toolcalls.bfcl import prompt_messages, reference_calls
from storm_core.toolcalls.bfcl import read_bfcl as read_benchmark
from tests.fuzzing.layouts import BFCL_ANSWERS, BFCL_QUESTIONS, CHATTERBOT, ROWS
from tests.fuzzing.mutations import mutate_bytes, mutate_json, mutate_value, to_json
from tests.fuzzing.readers import Reader, fuzz, readers, times
from tests.fuzzing.yaml_mutations import mutate_yaml

_HASHES = WordHashes()
# Arrow has one type for all contents of a column, and Parquet none for an object that is always empty.
_OF_COLUMNS = [row for place, row in enumerate(ROWS) if place not in (1, 2, 6)]

_MOST_LEVELS = 100


def prepared(place: Path, reference: str) -> None:
    """What `prepare` does with each row by itself: read, cut into shingles, written, and read again."""
    source = parse_reference("it", reference)
    items = list(read_source(source, open_directory(place), 1.0, 200_000))
    examples = [item for item in items if isinstance(item, Example)]
    for example in examples:
        shingles_of(example, [_HASHES.split(message.content) for message in example.messages], 5)
    write_examples(place / "written.parquet", examples)
    assert [example.id for example in read_examples(place / "written.parquet")] == [example.id for example in examples]


def in_file(name: str, adapter: str = "messages"):
    def read(content: bytes, place: Path) -> None:
        (place / name).write_bytes(content)
        prepared(place, f"{adapter}:{name}")

    return read


def lines(directory: Path) -> Sequence[bytes]:
    """Files of one row and of two."""
    return [to_json(row) + b"\n" for row in ROWS] + [to_json(ROWS[0]) + b"\n" + to_json(ROWS[3]) + b"\n"]


def mutate_lines(content: bytes, chance: Random) -> bytes:
    row, end, rest = content.partition(b"\n")
    return mutate_json(row, chance) + end + rest


def arrays(directory: Path) -> Sequence[bytes]:
    return [to_json(ROWS), to_json(ROWS[:1])]


def gzips(directory: Path) -> Sequence[bytes]:
    return [gzip.compress(content) for content in lines(directory)]


def tables(directory: Path) -> Sequence[bytes]:
    """Parquet files of layouts whose rows are alike."""
    return [_parquet([row]) for row in _OF_COLUMNS]


def mutate_table(content: bytes, chance: Random) -> bytes:
    """Other values in columns, or other bytes; values that no column can hold are left as they are."""
    if chance.random() < 0.5:
        return mutate_bytes(content, chance)
    try:
        return _parquet([mutate_value(row, chance) for row in pq.read_table(io.BytesIO(content)).to_pylist()])
    except (pa.ArrowException, OSError, OverflowError, TypeError, AttributeError, ValueError, RecursionError):
        return mutate_bytes(content, chance)


def _parquet(rows: Sequence[object]) -> bytes:
    if any(end * _MOST_LEVELS in repr(rows) for end in "]}"):
        raise ValueError("Arrow ends the process where it has no memory for so many levels")
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


def arrow_files(directory: Path) -> Sequence[bytes]:
    found = []
    for row in _OF_COLUMNS[:5]:
        for make in (pa.ipc.new_stream, pa.ipc.new_file):
            sink = io.BytesIO()
            table = pa.Table.from_pylist([row] * 3)
            with make(sink, table.schema) as writer:
                writer.write_table(table)
            found.append(sink.getvalue())
    return found


def read_chatterbot(content: bytes, place: Path) -> None:
    """As data to learn from, and as questions of an evaluation."""
    (place / "it.yml").write_bytes(content)
    prepared(place, "chatterbot:it.yml")
    pairs = read_pairs(place / "it.yml")
    if len(pairs) > 1:
        multiple_choice(pairs, samples=2, distractors=1, seed=0)


Pair = tuple[bytes, bytes]


def bfcl_pairs(directory: Path) -> Sequence[Pair]:
    return [(to_json(BFCL_QUESTIONS[0]), to_json(BFCL_ANSWERS[0]))]


def mutate_pair(pair: Pair, chance: Random) -> Pair:
    question, answer = pair
    return (mutate_json(question, chance), answer) if chance.random() < 0.6 else (question, mutate_json(answer, chance))


def read_bfcl(pair: Pair, place: Path) -> None:
    (place / "possible_answer").mkdir()
    for name, content in zip(("", "possible_answer/"), pair, strict=True):
        (place / f"{name}BFCL_v4_simple_python.json").write_bytes(content)
    prepared(place, "bfcl:.#simple_python")
    for entry in read_benchmark(place, "simple_python"):
        prompt_messages(entry, guidelines=True)
        check_calls(entry, reference_calls(entry))


@times
@readers(
    Reader(name="JSON lines", valid=lines, mutate=mutate_lines, read=in_file("it.jsonl"), inputs=700),
    Reader(name="JSON array", valid=arrays, mutate=mutate_json, read=in_file("it.json"), inputs=100),
    Reader(name="gzip", valid=gzips, mutate=mutate_bytes, read=in_file("it.jsonl.gz"), inputs=80),
    Reader(name="Parquet", valid=tables, mutate=mutate_table, read=in_file("it.parquet"), inputs=150),
    Reader(name="Arrow", valid=arrow_files, mutate=mutate_bytes, read=in_file("it.arrow"), inputs=100),
    Reader(name="chatterbot", valid=lambda _: [CHATTERBOT], mutate=mutate_yaml, read=read_chatterbot, inputs=150),
)
def test_changed_rows_are_read_or_refused(reader: Reader[bytes], times: int, tmp_path: Path) -> None:
    fuzz(reader, times, tmp_path)


@times
@readers(Reader(name="BFCL", valid=bfcl_pairs, mutate=mutate_pair, read=read_bfcl, inputs=200))
def test_changed_bfcl_entries_are_read_or_refused(reader: Reader[Pair], times: int, tmp_path: Path) -> None:
    fuzz(reader, times, tmp_path)
