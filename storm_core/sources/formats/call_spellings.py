"""Tool calls and lists of tools in the spellings of data sets: OpenAI, Hermes, Glaive, ShareGPT and the recipe."""

import contextlib
import re
from collections.abc import Mapping
from typing import Any

from storm_core.errors import InputError
from storm_core.toolcalls.calls import ToolCall
from storm_core.toolcalls.literals import check_writable, parse_json_or_python

_NAMES = ("tool_name", "name")
_ARGUMENTS = ("tool_arguments", "arguments", "parameters")
# A key in double quotes and a value in single quotes, which neither JSON nor Python's `repr` writes.
_SINGLE_QUOTED_ARGUMENTS = re.compile(r"""arguments"\s*:\s*'""")
_ESCAPE = re.compile(r"\\.")
# The keys of an object that is a call and nothing else.
_CALL_KEYS = ({"tool_name", "tool_arguments"}, {"name", "arguments"}, {"name", "parameters"})
_CALL_TYPES = (None, "function")
# How a column of text says that it holds nothing.
_NOTHING = ("", "[]", "{}", "null", "None")


def read_calls(value: Any, name: str) -> tuple[ToolCall, ...]:
    """The calls that a column or a block spells: one or a list of them, as values, as JSON, or as Python literals.

    Raises:
        InputError: it is no such thing; `name` says where it stood.
    """
    content = _parse_calls(value, name) if isinstance(value, str) else _checked(value, name)
    return tuple(_read_call(call, name) for call in _listed(content))


def read_bare_calls(text: str) -> tuple[ToolCall, ...]:
    """The calls in a text that is nothing else, one or a list of them; none where it says anything more than calls."""
    if not text.lstrip().startswith(("[", "{")):
        return ()
    with contextlib.suppress(InputError):
        calls = _listed(_parse_calls(text, "the answer"))
        if all(map(is_call, calls)):
            return tuple(_read_call(call, "the answer") for call in calls)
    return ()


def is_call(value: Any) -> bool:
    """Whether the value is an object that is a call and nothing else."""
    return isinstance(value, Mapping) and set(value) - {"type", "id"} in _CALL_KEYS and value.get("type") in _CALL_TYPES


def read_tools(value: Any) -> list[Mapping[str, Any]]:
    """The function descriptions in a `tools` column: a list or its JSON, with or without OpenAI's wrapping.

    Raises:
        InputError: it is something else, or a function has no name.
    """
    if is_nothing(value):
        return []
    tools = parse_literal(value, "tools") if isinstance(value, str) else _checked(value, "tools")
    if isinstance(tools, Mapping):
        tools = [tools]
    if not isinstance(tools, list):
        raise InputError("tools is not a list of functions")
    return [_read_tool(parse_literal(tool, "tools") if isinstance(tool, str) else tool) for tool in tools]


def is_nothing(value: Any) -> bool:
    """Whether a column of lists or objects holds nothing, or says so in text."""
    return value.strip() in _NOTHING if isinstance(value, str) else not value


def parse_literal(text: str, name: str) -> Any:
    """The value that `text` spells in JSON, or else in Python's literal syntax, as many published calls do.

    Raises:
        InputError: it is neither, too long for a Python literal, holds what JSON cannot, or nests too deep.
    """
    try:
        # Literal line ends inside strings are common in published calls.
        value = parse_json_or_python(text, strict=False, unique_keys=True)
    except ValueError as error:
        raise InputError(f"{name} {error}: {text[:60]!r}") from error
    return _checked(value, name)


def _parse_calls(text: str, name: str) -> Any:
    r"""The value that `text` spells, Glaive's arguments read as the JSON that stands between their single quotes.

    Python would undo one level of their escapes first: of `C:\\new` it would make a line end.
    """
    if _SINGLE_QUOTED_ARGUMENTS.search(text):
        with contextlib.suppress(InputError):
            return parse_literal(_without_single_quotes(text), name)
    return parse_literal(text, name)


def _without_single_quotes(text: str) -> str:
    """The text without the quotes around arguments; a quote inside may be escaped, but mostly is not."""
    head, *quoted = _SINGLE_QUOTED_ARGUMENTS.split(text)
    unquoted = ["}".join(arguments.rpartition("}'")[::2]) for arguments in quoted]
    return _ESCAPE.sub(lambda escape: escape[0].replace("\\'", "'"), 'arguments":'.join([head, *unquoted]))


def _checked(value: Any, name: str) -> Any:
    """The value, which JSON must be able to hold without exhausting whoever reads it."""
    try:
        check_writable(value, allow_nan=False)
    except ValueError as error:
        raise InputError(f"{name} {error}") from error
    return value


def _listed(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [content]


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
        arguments = parse_literal(arguments, f"the arguments of {function!r} in {name}") if arguments.strip() else {}
    if not isinstance(arguments, Mapping):
        raise InputError(f"the arguments of {function!r} in {name} are not an object")
    return ToolCall(function, arguments)


def _read_tool(tool: Any) -> Mapping[str, Any]:
    if isinstance(tool, Mapping) and isinstance(tool.get("function"), Mapping):
        tool = tool["function"]
    if not isinstance(tool, Mapping) or not isinstance(tool.get("name"), str):
        raise InputError("tools holds something that is not a function with a name")
    if "input_schema" in tool and "parameters" not in tool:  # Anthropic's name for it.
        return {"parameters" if key == "input_schema" else key: value for key, value in tool.items()}
    return tool
