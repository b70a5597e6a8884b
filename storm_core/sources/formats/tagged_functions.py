"""Qwen3-Coder's list of functions in a system message: tags for names, types and descriptions, the rest as JSON."""

import contextlib
import re
from collections.abc import Mapping
from typing import Any

from storm_core.errors import InputError
from storm_core.sources.formats.call_spellings import parse_literal

_FUNCTION = re.compile(r"\s*<function>\s*<name>(.*?)</name>(.*?)\s*</function>\s*", re.DOTALL)
_PARAMETERS = re.compile(r"\s*<parameters>(.*)</parameters>", re.DOTALL)
_PARAMETER = re.compile(r"\s*<parameter>\s*<name>(.*?)</name>(.*?)\s*</parameter>", re.DOTALL)
_FIELD = re.compile(r"\s*<([A-Za-z_$][\w$.-]*)>(.*?)</\1>", re.DOTALL)
_TEXTS = ("name", "type", "description", "title", "format", "pattern")


def read_tagged_functions(text: str) -> list[Mapping[str, Any]]:
    """The functions that the text describes in tags; none where it is not made of such descriptions alone."""
    functions: list[Mapping[str, Any]] = []
    end = 0
    while found := _FUNCTION.match(text, end):
        end = found.end()
        function = _function(found[1], found[2])
        if function is None:
            return []
        functions.append(function)
    return functions if not text[end:].strip() else []


def _function(name: str, text: str) -> dict[str, Any] | None:
    listed = _PARAMETERS.search(text)
    fields = _fields(text[: listed.start()] + text[listed.end() :] if listed else text)
    parameters = _parameters(listed[1]) if listed else {}
    if fields is None or parameters is None:
        return None
    return {"name": name.strip(), **fields, "parameters": parameters}


def _parameters(text: str) -> dict[str, Any] | None:
    """The schema of the parameters: properties in tags of their own, then what else it says (`required`)."""
    properties: dict[str, Any] = {}
    end = 0
    while found := _PARAMETER.match(text, end):
        end = found.end()
        schema = _fields(found[2])
        if schema is None:
            return None
        properties[found[1].strip()] = schema
    more = _fields(text[end:])
    return None if more is None else {"type": "object", "properties": properties, **more}


def _fields(text: str) -> dict[str, Any] | None:
    """The values between tags of their names; None where something else stands there."""
    found: dict[str, Any] = {}
    end = 0
    while field := _FIELD.match(text, end):
        end = field.end()
        found[field[1]] = _value(field[1], field[2])
    return found if not text[end:].strip() else None


def _value(name: str, text: str) -> Any:
    """A text where the field is one by its name; else the value that the text spells, as in `required` and `enum`."""
    # A list of types is spelled as Python does it.
    if name not in _TEXTS or (name == "type" and text.startswith("[")):
        with contextlib.suppress(InputError):
            return parse_literal(text, name)
    return text
