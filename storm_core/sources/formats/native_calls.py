"""Calls as models write them in their own formats: Llama's, Mistral's, Qwen's, and calls in Python's syntax.

Llama 3.1 answers `{"name": ..., "parameters": {...}}`, after `<|python_tag|>` or not, several with `;` between, or
`<function=NAME>{...}</function>`, where Qwen3-Coder has parameters in tags; Llama 3.2 and 4 and ToolACE's answers are
`[f(a=1), g(b=2)]`. Mistral answers `[TOOL_CALLS]` and a list, or since 2025 `[TOOL_CALLS]NAME[ARGS]{...}` for each.
`tagged_calls` has others.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from storm_core.errors import InputError
from storm_core.sources.formats.call_spellings import is_call, read_bare_calls, read_calls
from storm_core.sources.formats.parameter_tags import has_parameter_tags, read_parameters
from storm_core.sources.formats.pythonic_calls import Calls, read_pythonic, read_pythonic_answer
from storm_core.sources.formats.tagged_calls import read_tagged_calls
from storm_core.toolcalls.calls import ToolCall

Tools = Mapping[str, Mapping[str, Any]]

_MISTRALS = "[TOOL_CALLS]"
_LLAMAS = "<|python_tag|>"
_END_MARKS = re.compile(r"(?:\s|<\|eom_id\|>|<\|eot_id\|>|<\|im_end\|>|</s>)+\Z")
_MISTRALS_CALL = re.compile(r"\s*([\w.-]+)\s*(?:\[CALL_ID\]\s*\w+\s*)?(?:\[ARGS\])?\s*(\{.*)", re.DOTALL)
# Qwen's stands between tags of its own.
_FUNCTION = re.compile(r"(?:<tool_call>\s*)?<function=([^>\n]+)>(.*?)(?:</function>|\Z)(?:\s*</tool_call>)?", re.DOTALL)
# An answer that is one block of code, of a call it may be.
_FENCED = re.compile(r"\s*```(?:json|tool_call|tool_code|python)?[ \t]*\n(.*?)\n?```\s*", re.DOTALL)
_BETWEEN = re.compile(r"[\s;,]*")


def read_native_calls(text: str, offered: Tools) -> tuple[str, Calls] | None:
    """The text before the calls, and the calls; None where the answer has none in such a format.

    Args:
        text: of an answer.
        offered: the functions on offer by name.

    Raises:
        InputError: a format's own mark is there, and what follows is no call.
    """
    answer = _END_MARKS.sub("", text)
    for mark, read in ((_MISTRALS, _mistrals), (_LLAMAS, _llamas)):
        before, found, after = answer.partition(mark)
        if found:
            return before.strip(), read(after)
    if tagged := read_tagged_calls(answer):
        return tagged
    if calls := tuple(_function(found[1], found[2], offered) for found in _FUNCTION.finditer(answer)):
        return _FUNCTION.sub("", answer).strip(), calls
    fenced = _FENCED.fullmatch(answer)
    answer = fenced[1] if fenced else answer
    bare = read_bare_calls(answer) or _several(answer)
    if bare and all(call.name in offered for call in bare):
        return "", bare
    return None if bare else read_pythonic_answer(answer, offered)


def _mistrals(text: str) -> Calls:
    if text.lstrip().startswith("["):
        return read_calls(text.strip(), f"what follows {_MISTRALS}")
    calls = []
    for one in text.split(_MISTRALS):
        found = _MISTRALS_CALL.fullmatch(one)
        if not found:
            raise InputError(f"what follows {_MISTRALS} is no call: {one.strip()[:60]!r}")
        calls.append(_arguments(*found.groups()))
    return tuple(calls)


def _llamas(text: str) -> Calls:
    calls = read_bare_calls(text) or _several(text) or read_pythonic(text)
    if not calls:
        raise InputError(f"what follows {_LLAMAS} is no call of a function on offer: {text.strip()[:60]!r}")
    return calls


def _function(name: str, content: str, offered: Tools) -> ToolCall:
    """The call in a function's tags: JSON as Llama has it, or parameters in tags as Qwen has them."""
    if not has_parameter_tags(content):
        return _arguments(name, content)
    return ToolCall(name, read_parameters(content, offered.get(name, {})))


def _arguments(name: str, arguments: str) -> ToolCall:
    (call,) = read_calls({"name": name, "arguments": arguments}, "a call")
    return call


def _several(text: str) -> Calls:
    """Objects one after the other, with nothing but `;` or white space between; none where one is no call."""
    try:
        values = list(_values(text.strip()))
    except (ValueError, RecursionError):
        return ()
    return read_calls(values, "the answer") if values and all(map(is_call, values)) else ()


def _values(text: str) -> Iterator[Any]:
    end = 0
    while end < len(text):
        value, end = json.JSONDecoder(strict=False).raw_decode(text, end)
        yield value
        end = _between(text, end)


def _between(text: str, start: int) -> int:
    found = _BETWEEN.match(text, start)
    return found.end() if found else start
