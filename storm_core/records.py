"""One example of the recipe: id, source, messages, meta; and its Parquet form."""

import hashlib
import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storm_core.errors import InputError
from storm_core.parquet_batches import damage_in_words, read_batches

ROLES = ("system", "user", "assistant", "tool")
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("meta", pa.string()),
    ]
)
ROWS_PER_GROUP = 1000
# Unicode's stream-safe text format (UAX #15, section 13) allows 30 in a row.
_MOST_MARKS = 1000
_LEAST_INDENT = 2


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn: a role of `ROLES` and its text."""

    role: str
    content: str


@dataclass(frozen=True, kw_only=True)
class Example:
    """A conversation to learn from.

    Attributes:
        id: content ID, SHA-256 in hex of the normalised messages; see `content_id`.
        source: name of the data source it came from.
        meta: what else the source says of it, as JSON-able values.
    """

    id: str
    source: str
    messages: tuple[Message, ...]
    meta: Mapping[str, Any] = field(default_factory=dict)


def make_example(source: str, messages: Sequence[Message], meta: Mapping[str, Any] | None = None) -> Example:
    """An example with its content ID.

    Raises:
        InputError: no messages, an unknown role, no text in any answer, or an order that chat models do not know.
    """
    check_messages(messages)
    return Example(id=content_id(messages), source=source, messages=tuple(messages), meta=meta or {})


def check_messages(messages: Sequence[Message]) -> None:
    """Refuse what is not a conversation to learn from.

    Raises:
        InputError: says what is wrong with the messages.
    """
    if not messages:
        raise InputError("no messages")
    for position, message in enumerate(messages):
        if message.role not in ROLES:
            raise InputError(f"message {position} has role {message.role!r}, not one of {', '.join(ROLES)}")
        if message.role == "system" and position > 0:
            raise InputError(f"message {position} is a system message; only the first may be")
        # A function may give nothing back.
        if _shows_nothing(message.content) and message.role not in ("system", "tool"):
            raise InputError(f"message {position} ({message.role}) is empty")
        if _has_endless_marks(message.content):
            raise InputError(
                f"message {position} ({message.role}) has {_MOST_MARKS} combining or invisible characters in a row"
            )
    if messages[-1].role != "assistant":
        raise InputError(f"the last message is from {messages[-1].role!r}, not from the assistant")
    if all(message.role != "user" for message in messages):
        raise InputError("no user message")


def _shows_nothing(text: str) -> bool:
    """Whether there is nothing but white space and characters that show nothing, as a zero-width space."""
    return not text.strip() or (
        not text.isascii() and all(one.isspace() or unicodedata.category(one) == "Cf" for one in text)
    )


def _has_endless_marks(text: str) -> bool:
    """Whether more combining marks follow each other than any writing needs.

    The time to normalise them grows with their square. Characters that show nothing do not end such a run: who compares
    texts leaves them out.
    """
    if text.isascii():
        return False
    marks = _marks()
    # Wherever so long a run lies, it covers one of these characters.
    return not marks.isdisjoint(text[::_MOST_MARKS]) and any(
        is_mark and sum(1 for _ in run) >= _MOST_MARKS for is_mark, run in groupby(text, marks.__contains__)
    )


@cache
def _marks() -> frozenset[str]:
    """The combining marks, what is made of nothing else, and what shows nothing."""
    characters = map(chr, range(sys.maxunicode + 1))
    return frozenset(
        character
        for character in characters
        if unicodedata.category(character) == "Cf"
        or all(map(unicodedata.combining, unicodedata.normalize("NFKD", character)))
    )


def content_id(messages: Sequence[Message]) -> str:
    """SHA-256, in hex, of the messages after Unicode NFC and collapsing white space: equal text, equal ID.

    Indentation stays, but for that of a first line: in Python it says what a line belongs to.
    """
    normalised = [[m.role, _collapsed(unicodedata.normalize("NFC", m.content))] for m in messages]
    return hashlib.sha256(json.dumps(normalised, ensure_ascii=True).encode()).hexdigest()


def _collapsed(text: str) -> str:
    """The words of the text with a blank between them, or a line's end and the indentation of two or more."""
    if "\n" not in text:
        return " ".join(text.split())
    pieces: list[str] = []
    for line in text.splitlines():
        spaced = line.expandtabs()
        indent = len(spaced) - len(spaced.lstrip())
        if words := " ".join(line.split()):
            separator = "\n" + " " * indent if indent >= _LEAST_INDENT else " "
            pieces += [separator if pieces else "", words]
    return "".join(pieces)


def write_examples(path: Path, examples: Iterable[Example]) -> int:
    """Write examples to one Parquet file, in row groups; returns how many."""
    count = 0
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for group in _groups(examples):
            writer.write_table(_to_table(group))
            count += len(group)
    return count


def read_examples(path: Path, wanted: Set[str] | None = None) -> Iterator[Example]:
    """The examples of one Parquet file, streamed a row group at a time; those with the IDs `wanted` alone, if given.

    Raises:
        InputError: the file is not Parquet with the columns of `SCHEMA`.
    """
    for batch in read_columns(path, SCHEMA.names):
        with damage_in_words(path, "examples"):
            rows = (batch if wanted is None else _with_ids(batch, wanted)).to_pylist()
            examples = [_from_row(row) for row in rows]
        yield from examples


def read_columns(path: Path, names: Sequence[str], rows: int = ROWS_PER_GROUP) -> Iterator["pa.RecordBatch"]:
    """Columns of one Parquet file of examples, streamed in batches of at most so many `rows`.

    Raises:
        InputError: the file is not Parquet with these columns of `SCHEMA`.
    """
    schema = pa.schema([SCHEMA.field(name) for name in names])
    return read_batches(path, schema, rows, content="examples", remedy="prepare the examples again")


def count_examples(path: Path) -> int:
    """How many examples one Parquet file holds.

    Raises:
        InputError: the file is not Parquet, or damaged.
    """
    with damage_in_words(path, "examples"):
        rows: int = pq.read_metadata(path).num_rows
    return rows


def _with_ids(batch: "pa.RecordBatch", wanted: Set[str]) -> "pa.RecordBatch":
    return batch.filter(pa.array([id in wanted for id in batch.column("id").to_pylist()], pa.bool_()))


def _groups(examples: Iterable[Example]) -> Iterator[list[Example]]:
    group: list[Example] = []
    for example in examples:
        group.append(example)
        if len(group) == ROWS_PER_GROUP:
            yield group
            group = []
    if group:
        yield group


def _to_table(examples: Sequence[Example]) -> "pa.Table":
    """The examples as columns; a list of rows would be taken apart value by value, several times slower."""
    messages = [message for example in examples for message in example.messages]
    roles = pa.array([message.role for message in messages], pa.string())
    contents = pa.array([message.content for message in messages], pa.string())
    ends = accumulate((len(example.messages) for example in examples), initial=0)
    columns = [
        pa.array([example.id for example in examples], pa.string()),
        pa.array([example.source for example in examples], pa.string()),
        pa.ListArray.from_arrays(
            pa.array(ends, pa.int32()), pa.StructArray.from_arrays([roles, contents], names=["role", "content"])
        ),
        pa.array([json.dumps(example.meta, ensure_ascii=False, sort_keys=True) for example in examples], pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _from_row(row: Mapping[str, Any]) -> Example:
    return Example(
        id=row["id"],
        source=row["source"],
        messages=tuple(Message(role=m["role"], content=m["content"]) for m in row["messages"]),
        meta=json.loads(row["meta"]),
    )
