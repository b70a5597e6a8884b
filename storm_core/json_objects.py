"""JSON objects in files, which may have been altered or come from elsewhere: read and checked before they are used."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storm_core.errors import InputError, first_line

_SURROGATE = re.compile(r"\\ud[89a-f]", re.IGNORECASE)
# Above any number of operations, and far below where sums and drawings of such numbers overflow.
_LARGEST = 1e36
NUMBER, COUNT, TEXT, TRUTH, RATIO = "a finite number", "a count", "text", "true or false", "a number or Infinity"
ANYTHING = "anything"


@dataclass(frozen=True)
class Each:
    """A mapping of any names to values of one shape."""

    shape: "Shape"


@dataclass(frozen=True)
class Maybe:
    """A value of the shape, or null."""

    shape: "Shape"


@dataclass(frozen=True)
class IfThere:
    """The value of a key that a mapping may lack."""

    shape: "Shape"


# A kind of value; a mapping that has at least these keys; or a list, with the shape of its elements.
Shape = str | Each | Maybe | IfThere | Mapping[str, "Shape"] | list["Shape"]


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object in the file.

    Raises:
        InputError: it is not JSON, or no object, or has text that no file can hold.
    """
    try:
        text = file.read_text(encoding="utf-8")
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not JSON: {first_line(error)}") from error
    if not isinstance(found, dict):
        raise InputError(f"{file} does not hold a JSON object")
    if _SURROGATE.search(text):
        _check_encodable(file, found)
    return found


def check_shape(value: Any, shape: Shape, where: object, remedy: str) -> None:
    """Check that a value that was read from JSON is of the shape; a mapping may have more keys.

    Raises:
        InputError: it is not; names the first part that is wrong.
    """
    for place, wrong in _misfits(value, shape, ""):
        raise InputError(f"{where}: {place.lstrip('.') or 'all of it'} {wrong}; {remedy}")


def _check_encodable(file: Path, found: dict[str, Any]) -> None:
    """JSON can spell half of a surrogate pair, which no UTF-8 file can hold: what is read could not be written."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{file} holds half a surrogate pair, which is not text") from error


def _misfits(value: Any, shape: Shape, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(shape, Maybe | IfThere):
        if value is not None or isinstance(shape, IfThere):
            yield from _misfits(value, shape.shape, place)
    elif isinstance(shape, str):
        if not _is_a(value, shape):
            yield place, f"must be {shape}, got {value!r:.80}"
    elif isinstance(shape, list):
        yield from _misfits_of_list(value, shape[0], place)
    else:
        yield from _misfits_of_object(value, shape, place)


def _misfits_of_object(value: Any, shape: Each | Mapping[str, Shape], place: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        yield place, f"must be an object, got {value!r:.80}"
        return
    if isinstance(shape, Each):
        shape = dict.fromkeys(value, shape.shape)
    for key, wanted in shape.items():
        if key in value:
            yield from _misfits(value[key], wanted, f"{place}.{key}")
        elif not isinstance(wanted, IfThere):
            yield f"{place}.{key}", "is missing"


def _misfits_of_list(value: Any, shape: Shape, place: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, list):
        yield place, f"must be a list, got {value!r:.80}"
        return
    for number, inner in enumerate(value):
        yield from _misfits(inner, shape, f"{place}[{number}]")


def _is_a(value: Any, kind: str) -> bool:
    if kind == ANYTHING:
        return True
    if kind in (TEXT, TRUTH):
        return isinstance(value, str if kind == TEXT else bool)
    if kind == RATIO and value in ("Infinity", "-Infinity"):
        return True
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = is_number and -_LARGEST < value < _LARGEST and (isinstance(value, int) or math.isfinite(value))
    return fits and (kind != COUNT or (isinstance(value, int) and value >= 0))
