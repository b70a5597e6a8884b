"""The functions that a conversation offers, wherever they stand, and what else its system message says."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from storm_core.errors import InputError
from storm_core.sources.formats import glaive, json_offer
from storm_core.sources.formats.call_spellings import parse_literal, read_tools
from storm_core.sources.formats.tagged_blocks import CALL_TAGS, Block, find_blocks
from storm_core.sources.formats.tagged_functions import read_tagged_functions
from storm_core.toolcalls.prompts import system_prompt

Tools = Sequence[Mapping[str, Any]]

# How Hermes' own system prompt begins, and the recipe's: instructions on a format, replaced by the recipe's.
_FORMAT_INSTRUCTIONS = "You are a function calling AI model."
_TOOLS_TAGS = {"<tools>": "</tools>", "[AVAILABLE_TOOLS]": "[/AVAILABLE_TOOLS]"}
# What Qwen3-Coder's prompt says of the format behind its example.
_REMINDER = re.compile(r"\A\s*<IMPORTANT>\s*Reminder:.*?</IMPORTANT>", re.DOTALL)
# How Qwen's prompts begin what they say of functions.
_HEADING = re.compile(r"^# Tools[ \t]*$", re.MULTILINE)


def read_tool_definitions(system: str, tools: Tools) -> tuple[Tools, str]:
    """The functions on offer, and the system message without the offer and without instructions on a format.

    Args:
        system: the system message; empty where there is none.
        tools: the functions that stand apart from the messages. Those in the system message are added: as the recipe's
            prompt offers them, in `<tools>` (in tags too, as Qwen3-Coder has
            them), as ToolACE does or, where no others are there, as Glaive does.

    Raises:
        InputError: an offer as ToolACE has it cannot be read.
    """
    nothing: tuple[Tools, str] = [], _without_instructions(system)
    offer = _in_recipes_prompt(system) or _in_tags(system)
    offer = offer or json_offer.read_tool_definitions(system)
    found, rest = offer or (None if tools else glaive.read_tool_definitions(system)) or nothing
    names = {tool["name"] for tool in tools}
    return [*tools, *(tool for tool in found if tool["name"] not in names)], rest


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
            return tools, _without_offer(system, block)
    return None


def _without_offer(system: str, block: Block) -> str:
    """The message without the block of tools and what it says of the format of calls: the recipe's prompt does."""
    before, after = system[: block.start], system[block.end :]
    if system.startswith(_FORMAT_INSTRUCTIONS):
        return _without_instructions((before + after).strip())
    headings = list(_HEADING.finditer(before))
    if headings:
        before = before[: headings[-1].start()]
    examples = [one for one in find_blocks(after, CALL_TAGS) if not _readable_tools(one.content)]
    if examples:
        after = _REMINDER.sub("", after[examples[-1].end :], count=1)
        lead = before.rstrip().rpartition("\n")
        before = "".join(lead[:2]) if lead[2].endswith(":") else before
    return "\n\n".join(filter(None, [before.strip(), after.strip()]))


def _without_instructions(system: str) -> str:
    """The message; or where it begins with instructions on a format, what follows the line with their last example."""
    if not system.startswith(_FORMAT_INSTRUCTIONS):
        return system
    _, example, rest = system.rpartition("</tool_call>")
    return rest.strip() if example and rest.lstrip(" \r").startswith("\n") else ""


def _readable_tools(text: str) -> Tools:
    """The functions in a list, as JSON or Python, or one a line; none where they cannot be read."""
    if "<function>" in text and (tagged := read_tagged_functions(text)):
        return tagged
    try:
        return read_tools(_parse_tools(text))
    except InputError:
        return []


def _parse_tools(text: str) -> Any:
    try:
        return parse_literal(text, "tools")
    except InputError:
        return [parse_literal(line, "tools") for line in text.splitlines() if line.strip()]
