"""Rows of JSON files: lines (`.jsonl`) or one array (`.json`), plain or gzipped, streamed with a bound on each row."""

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from storm_core.errors import InputError
from storm_core.sources.files.rows import MAX_ROW_BYTES, RawRow, Rejected, too_large

SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".json.gz")
_BLOCK_BYTES = 1 << 20
# What decides where an element of an array ends.
_MARK = re.compile(rb'["\\\[\]{},]')


def read(name: str, file: Path) -> Iterator[RawRow | Rejected]:
    """The rows of one file, numbered by line, or by position where the file is one array.

    A `.json` file whose first character is `[` is an array, any other holds lines. A broken or over-long row spoils
    only itself.

    Raises:
        InputError: the file as a whole cannot be read: it ends inside a gzip stream or an array, or is not UTF-8 from
            its first byte on. How many rows are missing cannot be told then, so no ledger could account for them.
    """
    with _open(name, file) as stream:
        start = _peek(name, stream)
        is_array = ".json" in Path(name).suffixes and start.lstrip()[:1] == b"["
        texts = _elements(name, stream) if is_array else _lines(stream)
        for number, text in texts:
            place = f"{name}:{number}"
            yield _parse(place, text) if text is not None else too_large(place)


def _parse(place: str, text: bytes) -> RawRow | Rejected:
    try:
        values = json.loads(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Rejected(place=place, reason=f"not UTF-8: byte {error.object[error.start]:#04x} at {error.start}")
    except (ValueError, RecursionError) as error:
        return Rejected(place=place, reason=f"not JSON: {error}")
    if not isinstance(values, dict):
        return Rejected(place=place, reason="not a JSON object")
    return RawRow(place=place, values=values)


@contextmanager
def _open(name: str, file: Path) -> Iterator[IO[bytes]]:
    with gzip.open(file, "rb") if name.endswith(".gz") else file.open("rb") as stream:
        try:
            yield stream  # type: ignore[misc]  # GzipFile has all of IO[bytes] that is used here
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{name} is not a whole gzip file: {error}; fetch it again") from error


def _peek(name: str, stream: IO[bytes]) -> bytes:
    """The first bytes of the stream, which is left behind a byte order mark if there is one."""
    start = stream.read(_BLOCK_BYTES)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{name} is in UTF-16; convert it to UTF-8")
    unmarked = start.removeprefix(codecs.BOM_UTF8)
    stream.seek(len(start) - len(unmarked))
    return unmarked


def _lines(stream: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Number and text of each line that is not blank; None in place of one that is too long."""
    number = 0
    while line := stream.readline(MAX_ROW_BYTES + 1):
        number += 1
        if len(line) > MAX_ROW_BYTES:
            _skip_rest(stream, line)
            yield number, None
        elif line.strip():
            yield number, line


def _skip_rest(stream: IO[bytes], line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = stream.readline(_BLOCK_BYTES)


def _elements(name: str, stream: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Position, from 1, and text of each element of the array; None in place of one that is too long."""
    scanner = _ArrayScanner()
    number = 0
    while not scanner.closed and (block := stream.read(_BLOCK_BYTES)):
        for element in scanner.feed(block):
            number += 1
            yield number, element
    if not scanner.closed:
        raise InputError(f"{name} ends inside its array, in or after row {number + 1}; fetch it again")
    if scanner.rest.strip() or stream.read(_BLOCK_BYTES).strip():
        raise InputError(f"{name} holds more than one array: there is text after row {number}")


class _ArrayScanner:
    """Splits the text of a JSON array at its outer commas, whatever the blocks it arrives in.

    Attributes:
        closed: whether the array has ended.
        rest: what followed its end in the last block.
    """

    def __init__(self) -> None:
        self.closed = False
        self.rest = b""
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._parts: list[bytes] = []
        self._size = 0
        self._first = True

    def feed(self, block: bytes) -> Iterator[bytes | None]:
        """The elements that end inside `block`."""
        start, position = 0, int(self._escaped)
        self._escaped = False
        while not self.closed and (found := _MARK.search(block, position)):
            mark, position = found[0], found.end()
            if self._in_string or mark in b'"\\':
                position = self._step_string(mark, position, len(block))
            elif mark in b"[{":
                self._depth += 1
                start = position if self._depth == 1 else start
            elif self._depth > 1:
                self._depth -= mark != b","
            else:
                self.closed = mark != b","
                self._keep(block[start : found.start()])
                yield from self._take()
                start = position
        if self.closed:
            self.rest = block[start:]
        else:
            self._keep(block[start:])

    def _step_string(self, mark: bytes, position: int, size: int) -> int:
        """Note what a quote or a backslash means; returns where to look on, behind an escaped character."""
        if mark == b'"':
            self._in_string = not self._in_string
        elif mark == b"\\" and self._in_string:
            position += 1
            self._escaped = position > size
        return position

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        self._parts = [*self._parts, part] if self._size <= MAX_ROW_BYTES else []

    def _take(self) -> Iterator[bytes | None]:
        element = b"".join(self._parts) if self._size <= MAX_ROW_BYTES else None
        is_empty_array = self._first and self.closed and element is not None and not element.strip()
        self._parts, self._size, self._first = [], 0, False
        if not is_empty_array:
            yield element
