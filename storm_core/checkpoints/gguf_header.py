"""Whether a GGUF file is as long as its header says.

`gguf.GGUFReader` reads what lies behind the end as nothing, so a list of 2**40 numbers that are not there takes it
years.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import mmap
import struct
from pathlib import Path

from storm_core.errors import InputError

# Bytes of a value, by the number of its type.
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_VERSIONS = (2, 3)


def check_header(file: Path) -> None:
    """Walk through the settings and the list of tensors, of which each must lie within the file.

    What is no GGUF file at all, or of another version, is left to who reads it.

    Raises:
        InputError: the file ends before its header does, or has a setting of no known type.
    """
    with file.open("rb") as opened:
        if opened.read(4) != b"GGUF":
            return
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            reason = _damage(content)
    if reason:
        raise InputError(f"{file} cannot be converted: {reason}; fetch it again")


def _damage(content: mmap.mmap) -> str:
    """What is wrong with the header; empty where nothing is."""
    try:
        header = _Header(content)
        if header.version in _VERSIONS:
            header.skip()
    except struct.error:
        return "it ends within its header"
    except RecursionError:
        return "lists of a setting are nested too deep"
    except _UnknownTypeError as error:
        return f"a setting is of type {error}, which GGUF does not have"
    return ""


class _UnknownTypeError(Exception):
    """Its text is the number of the type."""


class _Header:
    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._place = 4
        # The version, which is small, tells the byte order.
        self._order = "<" if int.from_bytes(content[4:8], "little") & 0xFFFF else ">"
        (self.version,) = self._numbers("I")

    def skip(self) -> None:
        tensors, settings = self._numbers("QQ")
        for _ in range(settings):
            self._skip_text()
            self._skip_value(*self._numbers("I"))
        for _ in range(tensors):
            self._skip_text()
            (dimensions,) = self._numbers("I")
            self._skip_bytes(8 * dimensions)
            self._numbers("IQ")

    def _skip_value(self, kind: int) -> None:
        if kind == _STRING:
            self._skip_text()
        elif kind == _ARRAY:
            kind, count = self._numbers("IQ")
            if kind in _SIZES:
                self._skip_bytes(count * _SIZES[kind])
            else:
                for _ in range(count):
                    self._skip_value(kind)
        elif kind in _SIZES:
            self._skip_bytes(_SIZES[kind])
        else:
            raise _UnknownTypeError(kind)

    def _skip_text(self) -> None:
        self._skip_bytes(*self._numbers("Q"))

    def _skip_bytes(self, count: int) -> None:
        self._place += count
        if self._place > len(self._content):
            raise struct.error("behind the end")

    def _numbers(self, kinds: str) -> tuple[int, ...]:
        layout = f"{self._order}{kinds}"
        numbers = struct.unpack_from(layout, self._content, self._place)
        self._place += struct.calcsize(layout)
        return numbers
