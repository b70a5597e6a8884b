"""Values that a text spells as JSON or as Python literals, bounded so that what passes is cheap to read and print."""

import ast
import json
import warnings
from collections.abc import Sequence
from typing import Any

MAX_DEPTH = 64
# Far above any call or list of tools; Python's parser takes about 500 bytes of memory for a character.
MAX_PYTHON_CHARACTERS = 100_000


class RepeatedKeyError(ValueError):
    """An object has a key twice; the message continues "The text ..."."""


def without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The object that `json` gives `object_pairs_hook`, of whose keys it would drop all but the last of each.

    Raises:
        RepeatedKeyError: a key stands twice.
    """
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise RepeatedKeyError(f"has the key {repeated!r} twice in one object")
    return values


def parse_json_or_python(text: str, *, strict: bool, unique_keys: bool = False) -> Any:
    """The value that `text` spells in JSON, of any length, or else in Python's literal syntax.

    Args:
        text: what to parse.
        unique_keys: whether an object of JSON that has a key twice is refused.
        strict: whether a line end or another control character inside a string of JSON must be escaped.

    Raises:
        ValueError: it is neither, or more than `MAX_PYTHON_CHARACTERS` of Python; the message continues "The text ...".
    """
    try:
        return json.loads(text, strict=strict, object_pairs_hook=without_repeats if unique_keys else None)
    except RepeatedKeyError:
        raise
    except (ValueError, RecursionError) as error:
        if len(text) > MAX_PYTHON_CHARACTERS:
            size = f"{len(text)} characters, more than {MAX_PYTHON_CHARACTERS}"
            raise ValueError(f"is not JSON, and too long for a Python literal ({size})") from error
    return _parse_python(text)


def _parse_python(text: str) -> Any:
    try:
        # A text may hold '\d'; Python's opinion of that is not ours to print.
        with warnings.catch_warnings(action="ignore"):
            return ast.literal_eval(text.strip())
    # All that hostile text makes the parser raise: an unhashable key is a TypeError, nesting and chains exhaust it.
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError("is neither JSON nor a Python literal") from error


def check_writable(value: Any, *, allow_nan: bool) -> None:
    """Refuse a value that JSON cannot hold, or that nests so deep that it would exhaust whoever reads it.

    Args:
        value: what was parsed.
        allow_nan: whether NaN and the infinities pass, which Python's `json` writes and reads, but JSON does not have.

    Raises:
        ValueError: says which; the message continues "The value ...".
    """
    if _nests_deeper(value, MAX_DEPTH):
        raise ValueError(f"nests deeper than {MAX_DEPTH}")
    try:
        json.dumps(value, allow_nan=allow_nan)
    except (TypeError, ValueError) as error:
        raise ValueError(f"holds what JSON cannot: {error}") from error


def _nests_deeper(value: Any, depth: int) -> bool:
    """Whether containers within containers go beyond `depth`."""
    if not isinstance(value, dict | list | tuple):
        return False
    children = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_nests_deeper(child, depth - 1) for child in children)
