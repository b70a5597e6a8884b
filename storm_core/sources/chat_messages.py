"""The `messages` adapter: JSONL and Parquet rows in the four shapes that chat data sets are published in."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.records import Message
from storm_core.sources.rows import Rejected, Row, files_under

# A list of turns lies under the first of these that a row has; `chosen` is the better answer of a preference pair.
_TURN_KEYS = ("messages", "conversations", "chosen")
_KEYS = (*_TURN_KEYS, "instruction", "input", "output")
# ShareGPT's names, and those its descendants added, for the roles of `storm_core.records.ROLES`.
_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "function-call": "assistant",
    "function_response": "tool",
    "function-response": "tool",
    "observation": "tool",
}
_BATCH_ROWS = 1000


def read(data: Artifact, path: str) -> Iterator[Row | Rejected]:
    """Rows of the .jsonl and .parquet files at or below `path`, streamed; the shape is told by each row's own keys.

    Raises:
        InputError: there is no such file, or a .parquet file is not Parquet.
    """
    for name, file in files_under(data, path, (".jsonl", ".parquet")):
        yield from _read_jsonl(name, file) if name.endswith(".jsonl") else _read_parquet(name, file)


def messages_of(row: Mapping[str, Any]) -> tuple[Message, ...]:
    """The conversation in one row.

    Takes `messages` [{role, content}], `conversations` [{from, value}], a preference pair's `chosen` [{role, content}],
    or `instruction`, `input`, `output`.

    Raises:
        InputError: the row has none of these, or a turn is not a role and a text.
    """
    for key in _TURN_KEYS:
        if row.get(key) is not None:
            return _turns(key, row[key])
    if row.get("instruction") is None:
        raise InputError(f"no messages: none of {', '.join(_TURN_KEYS)} or instruction")
    question = _text(row["instruction"], "instruction")
    if row.get("input"):
        question = f"{question}\n\n{_text(row['input'], 'input')}"
    answer = _text(row.get("output"), "output")
    return (Message(role="user", content=question), Message(role="assistant", content=answer))


def _turns(key: str, turns: Any) -> tuple[Message, ...]:
    if not isinstance(turns, list):
        raise InputError(f"{key} is not a list of messages")
    messages = []
    for position, turn in enumerate(turns):
        if not isinstance(turn, Mapping):
            raise InputError(f"{key}[{position}] is not a role and a text")
        role = _text(turn.get("role") or turn.get("from"), f"the role of {key}[{position}]")
        content = turn["content"] if turn.get("content") is not None else turn.get("value")
        text = _text(content, f"the content of {key}[{position}]")
        messages.append(Message(role=_ROLES.get(role, role), content=text))
    return tuple(messages)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name} is {'missing' if value is None else 'not text'}")
    return value


def _read_jsonl(name: str, file: Path) -> Iterator[Row | Rejected]:
    # Read as bytes, so that one line of broken UTF-8 spoils only itself.
    with file.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            place = f"{name}:{number}"
            try:
                row = json.loads(line.decode("utf-8"))
            except (ValueError, RecursionError) as error:
                yield Rejected(place=place, reason=f"not JSON: {error}")
                continue
            yield _to_row(place, row)


def _read_parquet(name: str, file: Path) -> Iterator[Row | Rejected]:
    try:
        with pq.ParquetFile(file) as parquet:
            columns = [key for key in _KEYS if key in parquet.schema_arrow.names]
            batches = parquet.iter_batches(batch_size=_BATCH_ROWS, columns=columns)
            number = 0
            for batch in batches:
                for row in batch.to_pylist() if columns else [{}] * batch.num_rows:
                    number += 1
                    yield _to_row(f"{name}:{number}", row)
    except pa.ArrowInvalid as error:
        raise InputError(f"{file} is not a readable Parquet file: {str(error).splitlines()[0]}") from error


def _to_row(place: str, row: Any) -> Row | Rejected:
    if not isinstance(row, Mapping):
        return Rejected(place=place, reason="not a JSON object")
    try:
        return Row(place=place, messages=messages_of(row))
    except InputError as error:
        return Rejected(place=place, reason=str(error))
