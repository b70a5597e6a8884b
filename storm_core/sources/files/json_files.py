"""Rows of JSON files: lines, one array, or objects over several lines; plain or gzipped, with a bound on each row."""

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from storm_core.errors import InputError
from storm_core.progress import report
from storm_core.sources.files.json_texts import BLOCK_BYTES, elements, is_json, objects
from storm_core.sources.files.rows import RawRow, Rejected, too_large
from storm_core.toolcalls.literals import RepeatedKeyError, without_repeats

SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".json.gz")


def read(name: str, file: Path, columns: Sequence[str]) -> Iterator[RawRow | Rejected]:
    """The rows of one file, numbered by line, or by position where they are not a line each.

    A file whose first character is `[` is an array, unless each of its lines is one; any other holds lines, or where
    its first line is not whole, objects over several lines. A broken or over-long row spoils only itself. A file of one
    object without any of `columns` may hold the rows under a key, as `field` of `datasets` has it.

    Raises:
        InputError: the file as a whole cannot be read: it ends inside a gzip stream, an array or an object, or is not
            UTF-8 from its first byte on. How many rows are missing cannot be told then, so no ledger could account for
            them. Or it is one object with several lists that may be its rows.
    """
    with _open(name, file) as stream:
        start = _peek(name, stream)
        is_array = _is_array(name, start)
        texts = elements(name, stream) if is_array else objects(name, stream)
        first = [] if is_array else list(islice(texts, 2))
        if len(first) == 1 and (under := _rows_under_a_key(name, first[0][1], columns)):
            yield from under
            return
        for number, text in chain(first, texts):
            place = f"{name}:{number}"
            yield _parse(place, text) if text is not None else too_large(place)


def _is_array(name: str, start: bytes) -> bool:
    """Whether the file that begins so is one array; a `.jsonl` may also have an array in each line."""
    line, _, rest = start.strip().partition(b"\n")
    return line.startswith(b"[") and (".json" in Path(name).suffixes or not rest or not is_json(line))


def _rows_under_a_key(name: str, text: bytes | None, columns: Sequence[str]) -> list[RawRow | Rejected]:
    """The rows in the one object that a file holds; none where it is a row itself, or nothing of the kind."""
    if text is None or not is_json(text) or not isinstance(values := json.loads(text), dict):
        return []
    lists = [
        key for key, value in values.items() if isinstance(value, list) and any(isinstance(i, dict) for i in value)
    ]
    if not lists or set(values) & set(columns):
        return []
    if len(lists) > 1:
        raise InputError(
            f"{name} is one object with lists under {', '.join(map(repr, lists))}; write the one that holds the rows "
            "to a file of its own, as an array or a row in each line"
        )
    report(f"{name}: one object; its rows are those under {lists[0]!r}")
    return [_row(f"{name}:{lists[0]}[{place}]", one) for place, one in enumerate(values[lists[0]])]


def _parse(place: str, text: bytes) -> RawRow | Rejected:
    try:
        # Where files were joined, a byte order mark may begin any of them.
        values = json.loads(text.decode("utf-8").removeprefix("\ufeff").strip(), object_pairs_hook=without_repeats)
    except UnicodeDecodeError as error:
        return Rejected(place=place, reason=f"not UTF-8: byte {error.object[error.start]:#04x} at {error.start}")
    except RepeatedKeyError as error:
        return Rejected(place=place, reason=f"the row {error}")
    except (ValueError, RecursionError) as error:
        return Rejected(place=place, reason=_why_not_json(text, error))
    return _row(place, values)


def _row(place: str, values: Any) -> RawRow | Rejected:
    if isinstance(values, dict):
        return RawRow(place=place, values=values)
    kinds = {list: "an array", str: "a text", bool: "true or false", type(None): "null"}
    return Rejected(place=place, reason=f"not a JSON object but {kinds.get(type(values), 'a number')}")


def _why_not_json(text: bytes, error: Exception) -> str:
    if not text.strip():
        return "not JSON: nothing stands between two commas, or behind the last one"
    if re.search(rb",\s*[}\]]", text):
        return f"not JSON: {error}; a comma before a closing bracket?"
    if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
        return f"not JSON: more text follows an object that has ended: {error.doc[error.pos : error.pos + 40]!r}"
    return f"not JSON: {error}"


@contextmanager
def _open(name: str, file: Path) -> Iterator[IO[bytes]]:
    with gzip.open(file, "rb") if name.endswith(".gz") else file.open("rb") as stream:
        try:
            yield stream  # type: ignore[misc]  # GzipFile has all of IO[bytes] that is used here
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{name} is not a whole gzip file: {error}; fetch it again") from error


def _peek(name: str, stream: IO[bytes]) -> bytes:
    """The first bytes of the stream, which is left behind a byte order mark if there is one."""
    start = stream.read(BLOCK_BYTES)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{name} is in UTF-16; convert it to UTF-8")
    unmarked = start.removeprefix(codecs.BOM_UTF8)
    stream.seek(len(start) - len(unmarked))
    return unmarked
