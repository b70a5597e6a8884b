"""What one message holds: text, or parts of text, of calls and of results as OpenAI and Anthropic have them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storm_core.errors import InputError
from storm_core.sources.formats.call_spellings import read_calls
from storm_core.toolcalls.calls import ToolCall

_TEXT_TYPES = ("text", "input_text", "output_text")


@dataclass(frozen=True, kw_only=True)
class Content:
    """A run of a message's parts: its text and calls, or one result of a call.

    Attributes:
        call_ids: of the calls; empty texts where they have none.
        result_of: ID of the call whose result the text is; None where it is no result.
    """

    text: str
    calls: tuple[ToolCall, ...] = ()
    call_ids: tuple[str, ...] = ()
    result_of: str | None = None


def read_contents(value: Any, name: str) -> list[Content]:
    """The runs of parts in a message's content, which is text or a list of parts; one where it holds no results.

    Raises:
        InputError: it is missing, something else, or has a part that is neither text, nor a call, nor a result.
    """
    if not isinstance(value, list) or not all(isinstance(part, Mapping) for part in value) or not value:
        return [Content(text=text_of(value, name))]
    runs: list[Content] = []
    spoken: list[Mapping[str, Any]] = []
    for part in value:
        if part.get("type") == "tool_result":
            runs += [*_spoken(spoken, name), _result(part, name)]
            spoken = []
        else:
            spoken.append(part)
    return [*runs, *_spoken(spoken, name)]


def text_of(value: Any, name: str) -> str:
    """The value, which must be text, or a list of parts that are all text.

    Raises:
        InputError: it is missing or something else.
    """
    if isinstance(value, list) and value and all(isinstance(part, Mapping) for part in value):
        return "".join(_text(part, name) for part in value)
    if not isinstance(value, str):
        raise InputError(f"{name} is {'missing' if value is None else 'not text'}")
    return value


def result_text(value: Any) -> str:
    """The result of a call as text: nothing, text, parts of text, or what else it is as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list) and value and all(isinstance(part, Mapping) and _is_text(part) for part in value):
        return "".join(part["text"] for part in value)
    return json.dumps(value, ensure_ascii=False)


def _spoken(parts: Sequence[Mapping[str, Any]], name: str) -> Iterator[Content]:
    """The text and the calls of parts that hold no result; nothing where there are none."""
    calls = [part for part in parts if part.get("type") == "tool_use"]
    if parts:
        yield Content(
            text="".join(_text(part, name) for part in parts if part.get("type") != "tool_use"),
            calls=tuple(_call(part, name) for part in calls),
            call_ids=tuple(str(part.get("id") or "") for part in calls),
        )


def _call(part: Mapping[str, Any], name: str) -> ToolCall:
    (call,) = read_calls({"name": part.get("name"), "arguments": part.get("input")}, f"a call in {name}")
    return call


def _result(part: Mapping[str, Any], name: str) -> Content:
    content = part.get("content")
    # An image would otherwise be a line of numbers.
    text = text_of(content, f"a result in {name}") if isinstance(content, list) and content else result_text(content)
    return Content(text=text, result_of=str(part.get("tool_use_id") or ""))


def _text(part: Mapping[str, Any], name: str) -> str:
    if not _is_text(part):
        raise InputError(f"{name} is not text: it has a part of the type {part.get('type')!r}")
    return str(part["text"])


def _is_text(part: Mapping[str, Any]) -> bool:
    return part.get("type") in _TEXT_TYPES and isinstance(part.get("text"), str)
