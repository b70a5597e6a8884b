"""Options of a stage: each a field of a frozen dataclass that carries its default, unit, range and meaning."""

import dataclasses
import json
import math
import typing
from collections.abc import Callable
from typing import Any

from storm_core.errors import InputError

# The types an option may have; KFP has a parameter type for each (bool, int, float, str, list).
OPTION_TYPES = (bool, int, float, str, tuple[str, ...])
# KFP passes numbers as doubles, which round larger integers.
_LARGEST_INTEGER = 2**53


def option(
    help: str,
    default: Any = dataclasses.MISSING,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    check: Callable[[Any], object] | None = None,
    decides: bool = True,
) -> Any:
    """A dataclass field for one option. Without `default` the option is required.

    `minimum` and `maximum` are inclusive. `choices` lists the allowed values, or elements where the option is a tuple.
    `check` raises an InputError that names the option where a value of the right type is not allowed.
    Runs that differ only in options which decide nothing stand for each other: those say how a result comes about.
    """
    metadata: dict[str, Any] = {"help": help, "unit": unit, "minimum": minimum, "maximum": maximum, "choices": choices}
    metadata |= {"check": check, "decides": decides}
    return dataclasses.field(default=default, metadata=metadata, kw_only=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageConfig:
    """Base of every stage's config: checks each option's type, range, choices and own rule when it is made."""

    def __post_init__(self) -> None:
        types = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            _check_type(field.name, types[field.name], value)
            _check_range(field, value)
            _check_choices(field, value)
            if check := field.metadata.get("check"):
                check(value)


def deciding_options(config: StageConfig) -> dict[str, Any]:
    """The options that decide the result, by name."""
    return {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.metadata.get("decides", True)
    }


def parse_option(config: type[StageConfig], name: str, text: str) -> Any:
    """The value that `text`, from a command line, gives the option `name` of `config`.

    Booleans are written `true` or `false`, lists as a JSON array of strings.

    Raises:
        InputError: `text` does not spell a value of the option's type.
    """
    kind = typing.get_type_hints(config)[name]
    try:
        return _parse(kind, text)
    except (ValueError, RecursionError):
        raise InputError(f"{name} must be {describe_type(kind)}, got {text[:200]!r}") from None


def describe_option(field: "dataclasses.Field[Any]", kind: Any) -> str:
    """Meaning, type, unit, range, choices and default of an option, as `--help` and the KFP UI show them."""
    facts = [describe_type(kind)]
    stated = {name: field.metadata[name] for name in ("unit", "minimum", "maximum")}
    facts += [f"{name} {value}" for name, value in stated.items() if value not in (None, "")]
    if field.metadata["choices"]:
        facts.append("one of " + ", ".join(field.metadata["choices"]))
    if field.default is not dataclasses.MISSING:
        facts.append(f"default {json.dumps(field.default)}")
    return f"{field.metadata['help']} ({'; '.join(facts)})"


def describe_type(kind: Any) -> str:
    """The option type in words, as error messages and `--help` use it."""
    words = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}
    return words.get(kind, "a JSON list of strings")


def _parse(kind: Any, text: str) -> Any:
    if kind is bool:
        return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else _reject(text)
    if kind is str:
        return text
    if kind in (int, float):
        # Python reads `1_0` as ten, and the digits of every script.
        return kind(text) if text.isascii() and "_" not in text else _reject(text)
    items = json.loads(text)
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        _reject(text)
    return tuple(items)


def _reject(text: str) -> typing.NoReturn:
    raise ValueError(text)


def _check_type(name: str, kind: Any, value: Any) -> None:
    if kind not in OPTION_TYPES:
        raise TypeError(f"option {name} has type {kind}; use one of {OPTION_TYPES}")
    if kind == tuple[str, ...]:
        right = isinstance(value, tuple) and all(isinstance(item, str) for item in value)
    elif kind is float:
        right = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        right = type(value) is kind
    if not right:
        raise InputError(f"{name} must be {describe_type(kind)}, got {value!r}")


def _check_range(field: "dataclasses.Field[Any]", value: Any) -> None:
    low, high = field.metadata["minimum"], field.metadata["maximum"]
    # Written so that NaN fails, which compares as false with everything.
    if not ((low is None or value >= low) and (high is None or value <= high)):
        allowed = f"from {low} to {high}" if None not in (low, high) else f">= {low}" if high is None else f"<= {high}"
        raise InputError(f"{field.name} must be {allowed}, got {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{field.name} must be finite, got {value!r}")
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        raise InputError(f"{field.name} must be at most {_LARGEST_INTEGER}, got {value!r:.40}")


def _check_choices(field: "dataclasses.Field[Any]", value: Any) -> None:
    choices = field.metadata["choices"]
    chosen = value if isinstance(value, tuple) else (value,)
    for item in chosen:
        if choices and item not in choices:
            raise InputError(f"{field.name} must be one of {', '.join(choices)}, got {item!r}")
