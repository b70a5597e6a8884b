"""The functions that a conversation offers, wherever they stand, and what else its system message says."""

from collections.abc import Mapping, Sequence
from typing import Any

from storm_core.errors import InputError
from storm_core.sources.formats import glaive
from storm_core.sources.formats.call_spellings import parse_literal, read_tools
from storm_core.sources.formats.tagged_blocks import find_blocks
from storm_core.toolcalls.prompts import system_prompt

Tools = Sequence[Mapping[str, Any]]

# How Hermes' own system prompt begins, and the recipe's: instructions on a format, replaced by the recipe's.
_FORMAT_INSTRUCTIONS = "You are a function calling AI model."
_TOOLS_TAGS = {"<tools>": "</tools>"}


def read_tool_definitions(system: str, tools: Tools) -> tuple[Tools, str]:
    """The functions on offer, and the system message without the offer and without instructions on a format.

    Args:
        system: the system message; empty where there is none.
        tools: the functions that stand apart from the messages. Without any, those in the system message are taken: as
            the recipe's prompt offers them, in `<tools>` or as Glaive does.
    """
    if tools and not system.startswith(_FORMAT_INSTRUCTIONS):
        return tools, system
    nothing: tuple[Tools, str] = [], _without_instructions(system)
    found, rest = _in_recipes_prompt(system) or _in_tags(system) or glaive.read_tool_definitions(system) or nothing
    return tools or found, rest


def _in_recipes_prompt(system: str) -> tuple[Tools, str] | None:
    """What the recipe's own prompt offers, however its list is spelled, and the text behind it."""
    if not system.startswith(_FORMAT_INSTRUCTIONS):
        # The prompt's files are read only for a row that may hold it.
        return None
    for guidelines in (False, True):
        head, _, tail = system_prompt([{}], guidelines=guidelines).partition("[{}]")
        listed, closed, rest = system.removeprefix(head).partition(tail)
        if system.startswith(head) and closed and (tools := _readable_tools(listed)):
            return tools, rest.strip()
    return None


def _in_tags(system: str) -> tuple[Tools, str] | None:
    # From the end: the instructions themselves speak of "<tools></tools> tags".
    for block in reversed(list(find_blocks(system, _TOOLS_TAGS))):
        if tools := _readable_tools(block.content):
            return tools, _without_instructions((system[: block.start] + system[block.end :]).strip())
    return None


def _without_instructions(system: str) -> str:
    """The message; or where it begins with instructions on a format, what follows the line with their last example."""
    if not system.startswith(_FORMAT_INSTRUCTIONS):
        return system
    _, example, rest = system.rpartition("</tool_call>")
    return rest.strip() if example and rest.lstrip(" \r").startswith("\n") else ""


def _readable_tools(text: str) -> Tools:
    """The functions in a list, as JSON or Python, or one a line; none where they cannot be read."""
    try:
        return read_tools(_parse_tools(text))
    except InputError:
        return []


def _parse_tools(text: str) -> Any:
    try:
        return parse_literal(text, "tools")
    except InputError:
        return [parse_literal(line, "tools") for line in text.splitlines() if line.strip()]
