"""The texts of rows in a stream of JSON: lines, elements of one array, or objects over several lines.

Each is no longer than `MAX_ROW_BYTES`; what is longer is passed over in bounded memory.
"""

import json
import re
from collections.abc import Iterator
from typing import IO

from storm_core.errors import InputError
from storm_core.sources.files.rows import MAX_ROW_BYTES

BLOCK_BYTES = 1 << 20
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
# What decides where an element of an array ends.
_MARK = re.compile(rb'["\\\[\]{},]')


def objects(name: str, stream: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Number and text of each row: a line, or an object over several lines where the first line is not a whole one."""
    start = stream.tell()
    lines = _lines(stream)
    _, first = next(lines, (0, None))
    _, second = next(lines, (0, None))
    stream.seek(start)
    if first is None or not first.lstrip().startswith(b"{") or is_json(first):
        return _lines(stream)
    _, value = next(_values(stream), (0, first))
    stream.seek(start)
    # Else the line is broken, and spoils no other: no line of an object that is too long begins with the next one.
    is_value = is_json(value) if value is not None else not (second or b"{").startswith(b"{")
    return _whole_values(name, stream) if is_value else _lines(stream)


def _whole_values(name: str, stream: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    for number, text in _values(stream):
        if text is not None and _depth(text) > 0:
            raise InputError(f"{name} ends inside its object {number}; fetch it again")
        yield number, text


def _values(stream: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Position, from 1, and text of each value, which ends with the line that closes its last bracket.

    None in place of one that is too long.
    """
    number, depth, size = 1, 0, 0
    parts: list[bytes] = []
    while line := stream.readline(MAX_ROW_BYTES + 1):
        depth += _depth(line)
        size += len(line)
        parts.append(line)
        if size > MAX_ROW_BYTES:
            parts.clear()
        if depth <= 0 and (size > MAX_ROW_BYTES or b"".join(parts).strip()):
            yield number, b"".join(parts) if size <= MAX_ROW_BYTES else None
            number, depth, size, parts = number + 1, 0, 0, []
    if depth > 0:
        yield number, b"".join(parts) if size <= MAX_ROW_BYTES else None


def _depth(text: bytes) -> int:
    """How many brackets the text opens more than it closes."""
    bare = _STRING.sub(b"", text)
    return sum(bare.count(bracket) for bracket in (b"{", b"[")) - sum(bare.count(bracket) for bracket in (b"}", b"]"))


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
        line = stream.readline(BLOCK_BYTES)


def elements(name: str, stream: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Position, from 1, and text of each element of the array; None in place of one that is too long."""
    scanner = _ArrayScanner()
    number = 0
    while not scanner.closed and (block := stream.read(BLOCK_BYTES)):
        for element in scanner.feed(block):
            number += 1
            yield number, element
    if not scanner.closed:
        raise InputError(f"{name} ends inside its array, in or after row {number + 1}; fetch it again")
    if scanner.rest.strip() or stream.read(BLOCK_BYTES).strip():
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


def is_json(text: bytes) -> bool:
    """Whether the text is one JSON value."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
