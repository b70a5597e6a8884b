"""Tool calls as the recipe writes them: `<tool_call>{"tool_name": ..., "tool_arguments": {...}}</tool_call>`."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storm_core.toolcalls.literals import check_writable, parse_json_or_python

# A reply is a model's free text. This bound is far above any real call.
MAX_REPLY_CHARACTERS = 100_000

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
# Escaped inside a value, as JSON allows, so that a block ends where its closing tag stands.
_ESCAPED_CLOSE = _CLOSE.replace("/", r"\/")


class ToolCallError(ValueError):
    """A reply does not follow the format; the message is the reason."""


@dataclass(frozen=True)
class ToolCall:
    """One call: the function's name and its arguments by name."""

    name: str
    arguments: Mapping[str, Any]


def render_tool_call(call: ToolCall) -> str:
    """The call as one `<tool_call>` block with JSON inside, on one line.

    Raises:
        TypeError: an argument is of a type that JSON does not know.
    """
    content = {"tool_name": call.name, "tool_arguments": dict(call.arguments)}
    return _OPEN + json.dumps(content, ensure_ascii=False).replace(_CLOSE, _ESCAPED_CLOSE) + _CLOSE


def parse_tool_calls(reply: str) -> list[ToolCall]:
    """The calls of a reply, in order; none when the reply is `[]`.

    Each block holds one object, as JSON or as a Python dict with literal values (the article's own samples use single
    quotes). Text outside the blocks is ignored, keys beside `tool_name` and `tool_arguments` too.

    Raises:
        ToolCallError: no block and not `[]`, a block without end, or a block that holds something else.
    """
    if len(reply) > MAX_REPLY_CHARACTERS:
        raise ToolCallError(f"the reply has {len(reply)} characters, more than {MAX_REPLY_CHARACTERS}")
    blocks = _split_blocks(reply)
    if not blocks and re.fullmatch(r"\[\s*\]", reply.strip()) is None:
        raise ToolCallError(f"no {_OPEN} block and not []")
    return [_parse_block(block) for block in blocks]


def _split_blocks(reply: str) -> list[str]:
    """What stands between each opening tag and the next closing tag."""
    blocks = []
    _, opening, rest = reply.partition(_OPEN)
    while opening:
        block, closing, rest = rest.partition(_CLOSE)
        if not closing:
            raise ToolCallError(f"{_OPEN} without {_CLOSE}")
        blocks.append(block.strip())
        _, opening, rest = rest.partition(_OPEN)
    return blocks


def _parse_block(block: str) -> ToolCall:
    content = _parse_content(block)
    if not isinstance(content, dict):
        raise ToolCallError(f"a {_OPEN} block holds {_kind(content)}, not an object")
    for key in ("tool_name", "tool_arguments"):
        if key not in content:
            raise ToolCallError(f"a {_OPEN} block has no {key}")
    name, arguments = content["tool_name"], content["tool_arguments"]
    if not isinstance(name, str):
        raise ToolCallError(f"tool_name is {_kind(name)}, not a string")
    if not isinstance(arguments, dict):
        raise ToolCallError(f"tool_arguments is {_kind(arguments)}, not an object")
    if not all(isinstance(key, str) for key in arguments):
        raise ToolCallError("tool_arguments has a name that is not a string")
    return ToolCall(name, arguments)


def _parse_content(block: str) -> Any:
    """The value in a block; one that JSON cannot hold is refused, so that every parsed call can be written again."""
    try:
        content = parse_json_or_python(block, strict=True)
        check_writable(content, allow_nan=True)
    except ValueError as error:
        raise ToolCallError(f"a {_OPEN} block {error}") from error
    return content


def _kind(value: Any) -> str:
    words = {dict: "an object", list: "a list", str: "a string", type(None): "null"}
    return words.get(type(value), type(value).__name__)
