"""Tool-calling conversations in the recipe's format, whatever format they came in.

The recipe offers the tools in a system prompt of its own and writes a call as
`<tool_call>{"tool_name": ..., "tool_arguments": {...}}</tool_call>`. Other formats are read: calls apart from the
text (OpenAI's `tool_calls`, ShareGPT's `function_call` turns); `<tool_call>` blocks with `name` and `arguments` and the
tools in the system message (Hermes, Qwen); Glaive's, which offers the functions behind a sentence and calls them behind
`<functioncall>` or, in its extended version, in an answer that is a list of calls; and what `native_calls` knows.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from storm_core.errors import InputError
from storm_core.records import Message
from storm_core.sources.formats import glaive
from storm_core.sources.formats.call_spellings import read_calls
from storm_core.sources.formats.native_calls import Tools, read_native_calls
from storm_core.sources.formats.parameter_tags import ends_with_call
from storm_core.sources.formats.tagged_blocks import CALL_TAGS, Block, find_blocks, replace_blocks
from storm_core.sources.formats.tagged_calls import check_no_call_is_left
from storm_core.sources.formats.tool_definitions import read_tool_definitions
from storm_core.sources.formats.turns import Turn
from storm_core.toolcalls.calls import ToolCall, render_tool_call
from storm_core.toolcalls.prompts import system_prompt

_GLAIVE_TAGS = {glaive.CALL_TAG: glaive.END_MARK}
# A call as the recipe has it.
_WRITTEN = re.compile(r"<tool_call>\{\"tool_name\": .*?</tool_call>")
_RESPONSE_TAGS = {"<tool_response>": "</tool_response>", "[TOOL_RESULTS]": "[/TOOL_RESULTS]"}


def normalise(turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]]) -> tuple[tuple[Message, ...], dict[str, Any]]:
    """The turns as messages, and in the meta, where tools are on offer, their names under `tools`.

    Raises:
        InputError: a call cannot be read.
    """
    system = turns[0].text if turns and turns[0].role == "system" else None
    tools, rest_of_system = read_tool_definitions(system or "", tools)
    if glaive.is_glaives(turns):
        turns = [glaive.without_end_mark(turn) for turn in turns]
    offered = {str(tool["name"]): tool for tool in tools}
    call_tags = _call_tags(offered, system or "")
    messages = [_to_message(turn, offered, call_tags) for turn in turns]
    if not tools:
        return tuple(messages), {}
    content = "\n\n".join(filter(None, [system_prompt(tools), rest_of_system]))
    rest = messages[1:] if system is not None else messages
    return (Message(role="system", content=content), *rest), {"tools": [tool["name"] for tool in tools]}


def _call_tags(offered: Tools, system: str) -> dict[str, str]:
    """The tags, with their closings, whose blocks are calls in this conversation."""
    if offered:
        return {**CALL_TAGS, **_GLAIVE_TAGS}
    # Without functions `<tool_call>` is what a text speaks of; and an offer that stays as it stands, because it cannot
    # be read, keeps the calls that go with it.
    return {} if glaive.OFFER in system else _GLAIVE_TAGS


def _to_message(turn: Turn, offered: Tools, call_tags: Mapping[str, str]) -> Message:
    """The turn as a message; `offered` are the functions on offer by name."""
    if turn.role == "tool" or (offered and turn.role == "user" and _is_response(turn.text)):
        return Message(role="tool", content=_unwrapped(turn.text))
    if turn.role != "assistant":
        return Message(role=turn.role, content=turn.text)
    text, calls = turn.text, turn.calls
    if not offered and ends_with_call(text):
        raise InputError("an answer ends with a call, and no functions on offer can be read; give them as `tools`")
    native = read_native_calls(text, offered) if offered else None
    if native:
        text, calls = native[0], (*native[1], *calls)
    elif call_tags:
        text = _with_calls_rewritten(text, call_tags, has_tools=bool(offered))
    if offered:
        left = _WRITTEN.sub("", text)
        check_no_call_is_left(left, has_calls=bool(calls) or left != text)
    if calls:
        text = "\n".join(filter(None, [text.strip(), *map(_render, calls)]))
    return Message(role="assistant", content=text)


def _is_response(text: str) -> bool:
    """Whether the text is nothing but responses between tags: Qwen's templates show results as the user's turn."""
    has_tags = any(opening in text for opening in _RESPONSE_TAGS)
    return has_tags and not replace_blocks(text, _RESPONSE_TAGS, lambda _: "").strip()


def _unwrapped(text: str) -> str:
    """The responses, a line each, of a text that is nothing but blocks of them; or the text."""
    responses = [block.content.strip() for block in find_blocks(text, _RESPONSE_TAGS)]
    return "\n".join(responses) if _is_response(text) else text


def _with_calls_rewritten(text: str, call_tags: Mapping[str, str], *, has_tools: bool) -> str:
    """The text with each block of calls in it written as the recipe does."""

    def rewrite(block: Block) -> str:
        try:
            calls = read_calls(block.content.strip(), "a tool call")
        except InputError:
            # Without tools it may well be a text about the format.
            if has_tools:
                raise
            return text[block.start : block.end]
        return "\n".join(map(_render, calls))

    if not any(opening in text for opening in call_tags):
        return text
    # Glaive's last call in a text ends with the text; the mark appended here is part of that call's block.
    rewritten = replace_blocks(text + glaive.END_MARK, call_tags, rewrite)
    return rewritten.removesuffix(glaive.END_MARK)


def _render(call: ToolCall) -> str:
    try:
        return render_tool_call(call)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the arguments of {call.name!r} are not what JSON can hold: {error}") from error
