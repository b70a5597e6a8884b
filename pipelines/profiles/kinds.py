"""What a field of a profile may hold: how a value is read, and how a wrong one is refused."""

import dataclasses
import difflib
import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from pipelines.profiles.not_offered import reason_against
from storm_core.errors import InputError

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """One kind of value.

    Attributes:
        allowed: what it may be, in words that follow "must be".
        read: the value, of the field's path and what was given; it raises `InputError`.
    """

    allowed: str
    read: Callable[[str, Any], Any]


def field(kind: Kind, meaning: str, default: Any = dataclasses.MISSING) -> Any:
    """A field of a dataclass that a profile may give; without a default it must. docs/profiles.md shows the meaning."""
    metadata = {"kind": kind, "meaning": meaning}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def kind_of(declared: "dataclasses.Field[Any]") -> Kind:
    """The kind of value of a declared field."""
    kind: Kind = declared.metadata["kind"]
    return kind


def refuse(path: str, allowed: str, given: Any) -> NoReturn:
    """Raise the error that says where, what is allowed, and what was given."""
    raise InputError(f"{path} must be {allowed}; got {_SHORT.repr(given)}")


def text(allowed: str, accepts: Callable[[str], Any]) -> Kind:
    """A string that `accepts` says yes to."""

    def read(path: str, given: Any) -> str:
        if not isinstance(given, str) or not accepts(given):
            refuse(path, allowed, given)
        return given

    return Kind(allowed, read)


def matching(allowed: str, pattern: str) -> Kind:
    """A string that the pattern matches as a whole."""
    return text(allowed, re.compile(pattern, re.ASCII).fullmatch)


def number_or_text(allowed: str, accepts: Callable[[str], Any]) -> Kind:
    """A string, which YAML takes for a number where it has no unit."""
    inner = text(allowed, accepts)

    def read(path: str, given: Any) -> str:
        is_number = isinstance(given, int | float) and not isinstance(given, bool)
        if is_number and not accepts(str(given)):
            refuse(path, allowed, given)
        return str(inner.read(path, str(given) if is_number else given))

    return Kind(allowed, read)


def choice(*values: str) -> Kind:
    """One of the values."""
    allowed = " or ".join(values) if len(values) < 3 else "one of " + ", ".join(values)
    return text(allowed, values.__contains__)


def whole_number(minimum: int, maximum: int) -> Kind:
    """A whole number in a range."""
    allowed = f"a whole number from {minimum} to {maximum}"

    def read(path: str, given: Any) -> int:
        if type(given) is not int or not minimum <= given <= maximum:
            refuse(path, allowed, given)
        return given

    return Kind(allowed, read)


def number(above: float, maximum: float) -> Kind:
    """A number in a range that leaves out its lower end."""
    allowed = f"a number above {above:g}, at most {maximum:g}"

    def read(path: str, given: Any) -> float:
        if type(given) not in (int, float) or not above < given <= maximum:
            refuse(path, allowed, given)
        return float(given)

    return Kind(allowed, read)


def truth() -> Kind:
    """True or false."""
    allowed = "true or false"

    def read(path: str, given: Any) -> bool:
        if not isinstance(given, bool):
            refuse(path, allowed, given)
        return given

    return Kind(allowed, read)


def listed(item: Kind, allowed: str) -> Kind:
    """A list, as a tuple."""

    def read(path: str, given: Any) -> tuple[Any, ...]:
        if not isinstance(given, list):
            refuse(path, allowed, given)
        return tuple(item.read(f"{path}[{place}]", value) for place, value in enumerate(given))

    return Kind(allowed, read)


def mapped(key: Kind, value: Kind, allowed: str) -> Kind:
    """A mapping whose keys are of one kind and whose values are of another."""

    def read(path: str, given: Any) -> dict[str, Any]:
        if not isinstance(given, dict):
            refuse(path, allowed, given)
        return {key.read(f"a key of {path}", name): value.read(f"{path}.{name}", one) for name, one in given.items()}

    return Kind(allowed, read)


def record(declared: type[T], check: Callable[[str, T], None]) -> Kind:
    """The fields of a dataclass, and what must hold of them together."""

    def read(path: str, given: Any) -> T:
        made = declared(**read_fields(declared, path, given))
        check(path, made)
        return made

    return Kind("a mapping of its fields", read)


def read_fields(declared: type, path: str, given: Any) -> dict[str, Any]:
    """Those fields of the dataclass that are given, each read by its kind.

    Raises:
        InputError: one is unknown, wrong or missing; it names the field's path and what is allowed.
    """
    kinds = {one.name: kind_of(one) for one in dataclasses.fields(declared)}
    if not isinstance(given, dict):
        refuse(path or "a profile", f"a mapping with fields of {', '.join(kinds)}", given)
    for name in given:
        if name not in kinds:
            refuse_unknown(_join(path, name), name, kinds)
    for one in dataclasses.fields(declared):
        if one.default is one.default_factory and one.name not in given:
            raise InputError(f"{_join(path, one.name)} is missing; it must be {kinds[one.name].allowed}")
    return {name: kinds[name].read(_join(path, name), value) for name, value in given.items()}


def refuse_unknown(path: str, name: Any, known: Mapping[str, Any]) -> NoReturn:
    """Raise the error that says why there is no such field, or which is near, or which there are."""
    if reason := reason_against(str(name)):
        raise InputError(f"{path} is not offered: {reason}")
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])|[- ]", "_", str(name)).lower()
    close = difflib.get_close_matches(plain, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
    raise InputError(f"{path} is unknown; {hint}")


def _join(path: str, name: Any) -> str:
    shown = name if isinstance(name, str) and name.isprintable() else _SHORT.repr(name)
    return f"{path}.{shown}" if path else f"{shown}"
