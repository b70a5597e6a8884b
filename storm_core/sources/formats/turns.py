"""The turns of one conversation as data sets spell them: roles, texts, and the tool calls in them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storm_core.errors import InputError
from storm_core.sources.formats.call_spellings import read_calls
from storm_core.toolcalls.calls import ToolCall

# ShareGPT's names, and those its descendants added, for the roles of `storm_core.records.ROLES`.
_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "function": "tool",
    "function_response": "tool",
    "function-response": "tool",
    "observation": "tool",
    "ipython": "tool",
}
# Turns of the assistant that hold nothing but a call.
_CALL_ROLES = ("function_call", "function-call", "tool_call")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One turn; `calls` are those that stand apart from its text."""

    role: str
    text: str
    calls: tuple[ToolCall, ...] = ()


def read_turns(column: str, turns: Any) -> list[Turn]:
    """The turns that a column holds: a list of {role, content} or {from, value}, or the two as parallel lists.

    Raises:
        InputError: says which turn is not a role and a text, or has a call that cannot be read.
    """
    if isinstance(turns, Mapping) and turns and all(isinstance(values, list) for values in turns.values()):
        turns = _as_records(column, turns)
    if not isinstance(turns, list):
        raise InputError(f"{column} is not a list of messages")
    return [_read_turn(f"{column}[{position}]", turn) for position, turn in enumerate(turns)]


def text_of(value: Any, name: str) -> str:
    """The value, which must be text, or a list of parts that are all text.

    Raises:
        InputError: it is missing or something else.
    """
    if isinstance(value, list) and value and all(_is_text_part(part) for part in value):
        return "".join(part["text"] for part in value)
    if not isinstance(value, str):
        raise InputError(f"{name} is {'missing' if value is None else 'not text'}")
    return value


def _as_records(column: str, lists: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """The records whose fields stand as parallel lists, as older versions of `datasets` keep a list of records."""
    if len({len(values) for values in lists.values()}) > 1:
        lengths = ", ".join(f"{len(values)} of {key!r}" for key, values in lists.items())
        raise InputError(f"{column} holds parallel lists of unequal lengths: {lengths}; give every turn all of them")
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _read_turn(name: str, turn: Any) -> Turn:
    if not isinstance(turn, Mapping):
        raise InputError(f"{name} is not a role and a text")
    role = text_of(turn.get("role") or turn.get("from"), f"the role of {name}")
    content = turn["content"] if turn.get("content") is not None else turn.get("value")
    if role in _CALL_ROLES:
        return Turn(role="assistant", text="", calls=read_calls(content, f"the call in {name}"))
    calls = turn.get("tool_calls") or turn.get("function_call")
    if calls:
        # Beside a call there need not be any text.
        text = text_of(content or "", f"the content of {name}")
        return Turn(role=_ROLES.get(role, role), text=text, calls=read_calls(calls, f"a call in {name}"))
    if _ROLES.get(role, role) == "tool" and isinstance(content, dict | list):
        content = json.dumps(content, ensure_ascii=False)
    return Turn(role=_ROLES.get(role, role), text=text_of(content, f"the content of {name}"))


def _is_text_part(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str)
