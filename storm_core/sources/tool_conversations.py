"""Tool-calling conversations in the recipe's format, whatever format they came in.

The recipe offers the tools in a system prompt of its own and writes a call as
`<tool_call>{"tool_name": ..., "tool_arguments": {...}}</tool_call>`. Three other formats are read: calls apart from the
text (OpenAI's `tool_calls`, ShareGPT's `function_call` turns), `<tool_call>` blocks with `name` and `arguments` and the
tools in the system message (Hermes), and `<functioncall>` (Glaive).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from storm_core.errors import InputError
from storm_core.records import Message
from storm_core.sources.call_spellings import parse_literal, read_calls, read_tools
from storm_core.sources.turns import Turn
from storm_core.toolcalls.calls import ToolCall, render_tool_call
from storm_core.toolcalls.prompts import system_prompt

_CALL_BLOCK = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_GLAIVE_CALL = re.compile(r"<functioncall>(.*?)(?:<\|endoftext\|>|$)", re.DOTALL)
_TOOLS_BLOCK = re.compile(r"<tools>(.*?)</tools>", re.DOTALL)
_RESPONSE_BLOCK = re.compile(r"\s*<tool_response>(.*)</tool_response>\s*", re.DOTALL)
# How Hermes' own system prompt begins, and the recipe's: instructions on a format, replaced by the recipe's.
_FORMAT_INSTRUCTIONS = "You are a function calling AI model."


def normalise(turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]]) -> tuple[tuple[Message, ...], dict[str, Any]]:
    """The turns as messages, and in the meta, where tools are on offer, their names under `tools`.

    Raises:
        InputError: a call cannot be read.
    """
    system = turns[0].text if turns and turns[0].role == "system" else None
    if not tools and system is not None:
        tools, system = _tools_in(system)
    messages = [_to_message(turn, has_tools=bool(tools)) for turn in turns]
    if not tools:
        return tuple(messages), {}
    prompt = system_prompt(tools)
    content = f"{prompt}\n\n{system}" if system and not system.startswith(_FORMAT_INSTRUCTIONS) else prompt
    rest = messages[1:] if system is not None else messages
    return (Message(role="system", content=content), *rest), {"tools": [tool["name"] for tool in tools]}


def _tools_in(system: str) -> tuple[list[Mapping[str, Any]], str]:
    """The functions that a system message offers in `<tools>`, and the message without them."""
    for block in reversed(list(_TOOLS_BLOCK.finditer(system))):
        try:
            tools = read_tools(_parse_tools(block[1]))
        except InputError:
            # The instructions themselves speak of "<tools></tools> tags".
            continue
        if tools:
            return tools, (system[: block.start()] + system[block.end() :]).strip()
    return [], system


def _parse_tools(text: str) -> Any:
    """A list, as JSON or Python; or one function a line."""
    try:
        return parse_literal(text, "tools")
    except InputError:
        return [parse_literal(line, "tools") for line in text.splitlines() if line.strip()]


def _to_message(turn: Turn, *, has_tools: bool) -> Message:
    if turn.role == "tool" and (response := _RESPONSE_BLOCK.fullmatch(turn.text)):
        return Message(role="tool", content=response[1].strip())
    if turn.role != "assistant":
        return Message(role=turn.role, content=turn.text)
    text = _with_blocks_normalised(turn, has_tools=has_tools)
    if turn.calls:
        text = "\n".join(filter(None, [text.strip(), *map(_render, turn.calls)]))
    return Message(role="assistant", content=text)


def _with_blocks_normalised(turn: Turn, *, has_tools: bool) -> str:
    """The text with each block of calls in it written as the recipe does."""

    def rewrite(block: re.Match[str]) -> str:
        try:
            calls = read_calls(block[1].strip(), "a tool call")
        except InputError:
            # Without tools it may well be a text about the format.
            if has_tools:
                raise
            return block[0]
        return "\n".join(_render(call) for call in calls)

    text = _CALL_BLOCK.sub(rewrite, turn.text) if "<tool_call>" in turn.text else turn.text
    return _GLAIVE_CALL.sub(rewrite, text) if "<functioncall>" in text else text


def _render(call: ToolCall) -> str:
    try:
        return render_tool_call(call)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the arguments of {call.name} are not what JSON can hold: {error}") from error
