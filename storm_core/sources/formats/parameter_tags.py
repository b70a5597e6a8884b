"""Qwen3-Coder's calls: `<tool_call><function=NAME><parameter=KEY>value</parameter></function></tool_call>`.

Values are bare text, so that what they are is told by the function's description alone.
"""

import re
from collections.abc import Mapping
from typing import Any

from storm_core.errors import InputError
from storm_core.sources.formats.call_spellings import parse_literal

_PARAMETER = re.compile(r"\s*<parameter=([^>\n]+)>(.*?)</parameter>\s*", re.DOTALL)
_MARK = "<parameter="
_CALL_AT_THE_END = re.compile(
    r"<tool_call>\s*<function=[^>\n]+>\s*(?:<parameter=.*)?</function>\s*</tool_call>\s*\Z", re.DOTALL
)


def has_parameter_tags(content: str) -> bool:
    """Whether what stands in a function's tags is in parameters' tags, or nothing at all."""
    return not content.strip() or content.lstrip().startswith(_MARK)


def ends_with_call(text: str) -> bool:
    """Whether the text ends with such a call."""
    return "<function=" in text and bool(_CALL_AT_THE_END.search(text))


def read_parameters(content: str, tool: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments in a call of `tool`.

    Raises:
        InputError: a tag is not closed, or a value is not of the type that the description has.
    """
    arguments: dict[str, Any] = {}
    end = 0
    while found := _PARAMETER.match(content, end):
        end = found.end()
        if found[1] in arguments or _MARK in found[2]:
            raise InputError(f"the parameter {found[1]!r} of a call is not closed, or is there twice")
        arguments[found[1]] = _value(found[1], found[2].removeprefix("\n").removesuffix("\n"), tool)
    if content[end:].strip():
        raise InputError(f"a call has something other than closed parameters: {content[end:].strip()[:60]!r}")
    return arguments


def _value(name: str, text: str, tool: Mapping[str, Any]) -> Any:
    types = _types(name, tool)
    if "string" in types:
        return text
    try:
        value = parse_literal(text, f"the argument {name!r}")
    except InputError:
        if types - {"any"}:
            raise
        return text  # It can be nothing but text.
    if not types:
        raise InputError(f"the argument {name!r} may be {text[:60]!r} or text: the function's description has no type")
    return value


def _types(name: str, tool: Mapping[str, Any]) -> set[str]:
    """The types that the description allows; none where it says nothing."""
    parameters = tool.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    schema = properties.get(name) if isinstance(properties, Mapping) else None
    listed = schema.get("type") if isinstance(schema, Mapping) else None
    return {str(one) for one in (listed if isinstance(listed, list) else [listed]) if one is not None}
