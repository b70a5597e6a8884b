"""Build a frozen dataclass from parsed YAML, with every key and type checked."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from storm_core.errors import InputError

T = TypeVar("T")


def build(kind: type[T], raw: Any, where: str) -> T:
    """An instance of the dataclass `kind` with the fields that the mapping `raw` gives.

    Field types may be bool, int, float, str, `tuple[str, ...]`, a mapping, a dataclass, or one of these or None.

    Raises:
        InputError: `raw` has an unknown key, lacks one, or holds a value of another type; `where` opens the message.
    """
    if not isinstance(raw, dict):
        raise InputError(f"{where} must be a mapping of settings, got {raw!r}")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(str(key) for key in raw if key not in fields)
    if unknown:
        raise InputError(f"{where} has the unknown setting {unknown[0]!r}; known are {', '.join(fields)}")
    missing = [name for name, field in fields.items() if field.default is dataclasses.MISSING and name not in raw]
    if missing:
        raise InputError(f"{where} lacks the setting {missing[0]!r}")
    hints = typing.get_type_hints(kind)
    return kind(**{name: _convert(hints[name], value, f"{where}, {name}") for name, value in raw.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        (hint,) = (member for member in typing.get_args(hint) if member is not type(None))
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type[Any], hint), value, where)
    if hint == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InputError(f"{where} must be a list of texts, got {value!r}")
        return tuple(value)
    expected = dict if typing.get_origin(hint) is Mapping else hint
    # YAML's `true` is an int to Python; a count it is not.
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise InputError(f"{where} must be of type {expected.__name__}, got {value!r}")
    return value
