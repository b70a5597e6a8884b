"""Tool-calling conversations in the recipe's format, whatever format they came in.

The recipe offers the tools in a system prompt of its own and writes a call as
`<tool_call>{"tool_name": ..., "tool_arguments": {...}}</tool_call>`. Three other formats are read: calls apart from the
text (OpenAI's `tool_calls`, ShareGPT's `function_call` turns); `<tool_call>` blocks with `name` and `arguments` and the
tools in the system message (Hermes); and Glaive's, which offers the functions behind a sentence and calls them behind
`<functioncall>` or, in its extended version, in an answer that is a list of calls.
"""

import json
import re
from collections.abc import Mapping, Sequence, Set
from typing import Any

from storm_core.errors import InputError
from storm_core.records import Message
from storm_core.sources.call_spellings import parse_literal, read_calls, read_tools
from storm_core.sources.turns import Turn
from storm_core.toolcalls.calls import ToolCall, render_tool_call
from storm_core.toolcalls.prompts import system_prompt

_CALL_BLOCK = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_GLAIVE_CALL = re.compile(r"<functioncall>(.*?)(?:<\|endoftext\|>|$)", re.DOTALL)
_GLAIVE_OFFER = "access to the following functions"
_GLAIVE_END = "<|endoftext|>"
_NEXT_VALUE = re.compile(r"[\s,]*(?=[\[{])")
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
    messages = [_to_message(turn, {tool["name"] for tool in tools}) for turn in turns]
    if not tools:
        return tuple(messages), {}
    prompt = system_prompt(tools)
    content = f"{prompt}\n\n{system}" if system and not system.startswith(_FORMAT_INSTRUCTIONS) else prompt
    rest = messages[1:] if system is not None else messages
    return (Message(role="system", content=content), *rest), {"tools": [tool["name"] for tool in tools]}


def _tools_in(system: str) -> tuple[list[Mapping[str, Any]], str]:
    """The functions that a system message offers, in `<tools>` or as Glaive does, and the message without the offer."""
    for block in reversed(list(_TOOLS_BLOCK.finditer(system))):
        try:
            tools = read_tools(_parse_tools(block[1]))
        except InputError:
            # The instructions themselves speak of "<tools></tools> tags".
            continue
        if tools:
            return tools, (system[: block.start()] + system[block.end() :]).strip()
    return _tools_after_sentence(system)


def _tools_after_sentence(system: str) -> tuple[list[Mapping[str, Any]], str]:
    """The functions that stand after Glaive's sentence, one by one or as a list, and the message without the two."""
    offer = system.find(_GLAIVE_OFFER)
    first = re.search(r"[\[{]", system[offer:]) if offer >= 0 else None
    if first is None:
        return [], system
    tools: list[Mapping[str, Any]] = []
    end = offer + first.start()
    try:
        while following := _NEXT_VALUE.match(system, end):
            value, end = json.JSONDecoder(strict=False).raw_decode(system, following.end())
            tools += read_tools(value)
    except (ValueError, RecursionError, InputError):
        # Half an offer would leave out functions that are called.
        return [], system
    sentence = 1 + max(system.rfind(".", 0, offer), system.rfind("\n", 0, offer))
    return tools, (system[:sentence] + system[end:]).strip()


def _parse_tools(text: str) -> Any:
    """A list, as JSON or Python; or one function a line."""
    try:
        return parse_literal(text, "tools")
    except InputError:
        return [parse_literal(line, "tools") for line in text.splitlines() if line.strip()]


def _to_message(turn: Turn, offered: Set[str]) -> Message:
    """The turn as a message; `offered` are the names of the functions on offer."""
    if turn.role == "tool" and (response := _RESPONSE_BLOCK.fullmatch(turn.text)):
        return Message(role="tool", content=response[1].strip())
    if turn.role != "assistant":
        return Message(role=turn.role, content=turn.text)
    text = _without_end_mark(turn.text)
    calls = turn.calls
    if bare := _bare_calls(text, offered):
        text, calls = "", (*bare, *calls)
    text = _with_blocks_normalised(text, has_tools=bool(offered))
    if calls:
        text = "\n".join(filter(None, [text.strip(), *map(_render, calls)]))
    return Message(role="assistant", content=text)


def _without_end_mark(text: str) -> str:
    stripped = text.rstrip()
    return stripped.removesuffix(_GLAIVE_END).rstrip() if stripped.endswith(_GLAIVE_END) else text


def _bare_calls(text: str, offered: Set[str]) -> tuple[ToolCall, ...]:
    """The calls in a text that is nothing else: a call of a function on offer, or a list of them."""
    if not offered or not text.lstrip().startswith(("[", "{")):
        return ()
    try:
        calls = read_calls(text.strip(), "the answer")
    except InputError:
        return ()
    return calls if all(call.name in offered for call in calls) else ()


def _with_blocks_normalised(text: str, *, has_tools: bool) -> str:
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

    text = _CALL_BLOCK.sub(rewrite, text) if "<tool_call>" in text else text
    return _GLAIVE_CALL.sub(rewrite, text) if "<functioncall>" in text else text


def _render(call: ToolCall) -> str:
    try:
        return render_tool_call(call)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the arguments of {call.name} are not what JSON can hold: {error}") from error
