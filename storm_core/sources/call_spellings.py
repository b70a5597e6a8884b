"""Tool calls and lists of tools in the spellings of data sets: OpenAI, Hermes, Glaive, ShareGPT and the recipe."""

import ast
import json
import re
import warnings
from collections.abc import Mapping
from typing import Any

from storm_core.errors import InputError
from storm_core.toolcalls.calls import MAX_DEPTH, ToolCall

_NAMES = ("tool_name", "name")
_ARGUMENTS = ("tool_arguments", "arguments", "parameters")
_QUOTED_JSON = re.compile(r"""\{\s*"name":\s*"([^"]+)",\s*"arguments":\s*'(.*)'\s*\}""", re.DOTALL)


def read_calls(value: Any, name: str) -> tuple[ToolCall, ...]:
    """The calls that a column or a block spells: one or a list of them, as values, as JSON, or as Python literals.

    Raises:
        InputError: it is no such thing; `name` says where it stood.
    """
    if not isinstance(value, str):
        return _read_listed(_checked(value, name), name)
    try:
        return _read_listed(parse_literal(value, name), name)
    except InputError:
        # Glaive puts JSON between single quotes and does not escape the quotes in it as Python would.
        if quoted := _QUOTED_JSON.fullmatch(value.strip()):
            return (_read_call({"name": quoted[1], "arguments": quoted[2].replace("\\'", "'")}, name),)
        raise


def read_tools(value: Any) -> list[Mapping[str, Any]]:
    """The function descriptions in a `tools` column: a list or its JSON, with or without OpenAI's wrapping.

    Raises:
        InputError: it is something else, or a function has no name.
    """
    if value is None or value in ("", [], "[]"):
        return []
    tools = parse_literal(value, "tools") if isinstance(value, str) else _checked(value, "tools")
    if isinstance(tools, Mapping):
        tools = [tools]
    if not isinstance(tools, list):
        raise InputError("tools is not a list of functions")
    return [_read_tool(tool) for tool in tools]


def parse_literal(text: str, name: str) -> Any:
    """The value that `text` spells in JSON, or else in Python's literal syntax, as many published calls do.

    Raises:
        InputError: it is neither, holds what JSON cannot, or nests too deep.
    """
    try:
        value = _parse_json_or_python(text)
    # All that hostile text makes the parsers raise: an unhashable key is a TypeError, nesting and chains exhaust them.
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise InputError(f"{name} is neither JSON nor a Python literal: {text[:60]!r}") from error
    return _checked(value, name)


def _checked(value: Any, name: str) -> Any:
    """The value, which JSON must be able to hold without exhausting whoever reads it."""
    if _depth_exceeds(value, MAX_DEPTH):
        raise InputError(f"{name} nests deeper than {MAX_DEPTH}")
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} holds what JSON cannot: {error}") from error
    return value


def _parse_json_or_python(text: str) -> Any:
    try:
        # Literal line ends inside strings are common in published calls.
        return json.loads(text, strict=False)
    except ValueError:
        with warnings.catch_warnings(action="ignore"):
            return ast.literal_eval(text.strip())


def _depth_exceeds(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list | tuple):
        return False
    children = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_depth_exceeds(child, depth - 1) for child in children)


def _read_listed(content: Any, name: str) -> tuple[ToolCall, ...]:
    calls = content if isinstance(content, list) else [content]
    return tuple(_read_call(call, name) for call in calls)


def _read_call(call: Any, name: str) -> ToolCall:
    if isinstance(call, Mapping) and isinstance(call.get("function"), Mapping):
        call = call["function"]
    if not isinstance(call, Mapping):
        raise InputError(f"{name} is not an object")
    function = next((call[key] for key in _NAMES if call.get(key) is not None), None)
    if not isinstance(function, str) or not function:
        raise InputError(f"{name} names no function")
    arguments: Any = next((call[key] for key in _ARGUMENTS if call.get(key) is not None), {})
    if isinstance(arguments, str):
        arguments = parse_literal(arguments, f"the arguments of {function} in {name}") if arguments.strip() else {}
    if not isinstance(arguments, Mapping):
        raise InputError(f"the arguments of {function} in {name} are not an object")
    return ToolCall(function, arguments)


def _read_tool(tool: Any) -> Mapping[str, Any]:
    if isinstance(tool, Mapping) and isinstance(tool.get("function"), Mapping):
        tool = tool["function"]
    if not isinstance(tool, Mapping) or not isinstance(tool.get("name"), str):
        raise InputError("tools holds something that is not a function with a name")
    return tool
