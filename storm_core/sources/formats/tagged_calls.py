"""Calls between a model's own marks: Granite's, Phi's, Nemotron's, InternLM's, LFM's, Cohere's, DeepSeek's and Kimi's.

What stands between the marks is a call or a list of them, as JSON or in Python's syntax; DeepSeek and Kimi have the
name apart from the arguments.
"""

import re
from collections.abc import Iterator

from storm_core.errors import InputError
from storm_core.sources.formats.call_spellings import read_bare_calls, read_calls
from storm_core.sources.formats.pythonic_calls import Calls, read_pythonic
from storm_core.toolcalls.calls import ToolCall

# With what ends them, the end of the text apart.
_CLOSINGS = {
    "<|tool_call|>": "<|/tool_call|>",
    "<TOOLCALL>": "</TOOLCALL>",
    "<|action_start|><|plugin|>": "<|action_end|>",
    "<|tool_call_start|>": "<|tool_call_end|>",
    "<|START_ACTION|>": "<|END_ACTION|>",
    "<tool_calls>": "</tool_calls>",
}
_DEEPSEEKS = "<\uff5ctool\u2581calls\u2581begin\uff5c>"
_KIMIS = "<|tool_calls_section_begin|>"
_APART = {
    _DEEPSEEKS: re.compile(
        r"<\uff5ctool\u2581call\u2581begin\uff5c>(?:function<\uff5ctool\u2581sep\uff5c>(?P<name>[^\n]+)\n```json\n"
        r"(?P<fenced>.*?)\n```|(?P<plain>[^<\n]+)<\uff5ctool\u2581sep\uff5c>(?P<bare>.*?))<\uff5ctool\u2581call\u2581end\uff5c>",
        re.DOTALL,
    ),
    _KIMIS: re.compile(
        r"<\|tool_call_begin\|>\s*(?:functions\.)?(?P<name>[^:<\s]+)(?::\d+)?\s*<\|tool_call_argument_begin\|>"
        r"(?P<fenced>.*?)<\|tool_call_end\|>",
        re.DOTALL,
    ),
}
_SECTION_ENDS = re.compile(
    r"<\uff5ctool\u2581calls\u2581end\uff5c>|<\uff5cend\u2581of\u2581sentence\uff5c>|<\|tool_calls_section_end\|>"
)
# Marks of calls that are not read: where one is left, an answer calls a function in a way that is not the recipe's.
_OTHERS = (
    *(
        "<tool_call>",
        "<functioncall>",
        "<function_call>",
        "<start_function_call>",
        "<\uff5ctool\u2581call",
        "<|tool_call",
    ),
    *("<|call|>", "[TOOL_CALLS]", "<|python_tag|>", "<|plugin|>"),
)
# Beside a call that was read they may well be what the text speaks of.
_SPOKEN_OF = ("<function=", "<invoke name=", "<arg_key>", "Action Input:")
_REACT = re.compile(r"^Action:[ \t]*\S+[ \t]*\n+Action Input:", re.MULTILINE)


def read_tagged_calls(text: str) -> tuple[str, Calls] | None:
    """The text before the first mark, and the calls behind it; None where there is none of these marks.

    Raises:
        InputError: what stands between the marks is no call.
    """
    for mark in (*_CLOSINGS, *_APART):
        before, found, after = text.partition(mark)
        if found:
            return before.strip(), tuple(_apart(mark, after) if mark in _APART else _between(mark, after))
    return None


def check_no_call_is_left(text: str, *, has_calls: bool) -> None:
    """Refuse an answer with a mark of a call whose call was not read.

    Args:
        text: without the calls that were.
        has_calls: whether there are any.

    Raises:
        InputError: names the mark.
    """
    marks = (*_OTHERS, *_CLOSINGS, *_APART, *(() if has_calls else _SPOKEN_OF))
    left = next((mark for mark in marks if mark in text and (mark != "Action Input:" or _REACT.search(text))), None)
    if left:
        raise InputError(f"an answer has {left!r}, the mark of a call, and no call that can be read behind it")


def _between(mark: str, after: str) -> Iterator[ToolCall]:
    for piece in after.split(mark):
        content, _, rest = piece.partition(_CLOSINGS[mark])
        _check_nothing_follows(mark, rest)
        calls = read_bare_calls(content.strip()) or read_pythonic(content.strip())
        yield from calls or read_calls(content.strip(), f"what follows {mark}")


def _check_nothing_follows(mark: str, rest: str) -> None:
    if rest.strip():
        raise InputError(f"text follows the calls behind {mark}, where the recipe has none: {rest.strip()[:60]!r}")


def _apart(mark: str, after: str) -> Iterator[ToolCall]:
    found = list(_APART[mark].finditer(after))
    if not found:
        raise InputError(f"what follows {mark} is no call: {after.strip()[:60]!r}")
    _check_nothing_follows(mark, _SECTION_ENDS.sub("", _APART[mark].sub("", after)))
    for one in found:
        groups = one.groupdict()
        name = groups["name"] or groups["plain"]
        arguments = groups["fenced"] if groups["fenced"] is not None else groups["bare"]
        yield from read_calls({"name": name.strip(), "arguments": arguments.strip()}, f"what follows {mark}")
