"""Calls as models write them in their own formats: Llama's, Mistral's, and calls in Python's syntax.

Llama 3.1 answers `{"name": ..., "parameters": {...}}`, after `<|python_tag|>` or not, several with `;` between, or
`<function=NAME>{...}</function>`; Llama 3.2 and 4 answer `[f(a=1), g(b=2)]`. Mistral answers `[TOOL_CALLS]` and a list,
or since 2025 `[TOOL_CALLS]NAME[ARGS]{...}` for each.
"""

import ast
import json
import re
from collections.abc import Iterator, Set
from typing import Any

from storm_core.errors import InputError
from storm_core.sources.formats.call_spellings import is_call, read_bare_calls, read_calls
from storm_core.toolcalls.calls import ToolCall
from storm_core.toolcalls.literals import MAX_PYTHON_CHARACTERS

Calls = tuple[ToolCall, ...]

_MISTRALS = "[TOOL_CALLS]"
_LLAMAS = "<|python_tag|>"
_END_MARKS = re.compile(r"(?:\s|<\|eom_id\|>|<\|eot_id\|>|<\|im_end\|>|</s>)+\Z")
_MISTRALS_CALL = re.compile(r"\s*([\w.-]+)\s*(?:\[CALL_ID\]\s*\w+\s*)?(?:\[ARGS\])?\s*(\{.*)", re.DOTALL)
_LLAMAS_FUNCTION = re.compile(r"<function=([\w.-]+)>(.*?)(?:</function>|\Z)", re.DOTALL)
_BETWEEN = re.compile(r"[\s;,]*")


def read_native_calls(text: str, offered: Set[str]) -> tuple[str, Calls] | None:
    """The text before the calls, and the calls; None where the answer has none in such a format.

    Args:
        text: of an answer.
        offered: names of the functions on offer.

    Raises:
        InputError: a format's own mark is there, and what follows is no call.
    """
    answer = _END_MARKS.sub("", text)
    for mark, read in ((_MISTRALS, _mistrals), (_LLAMAS, _llamas)):
        before, found, after = answer.partition(mark)
        if found:
            return before.strip(), read(after)
    if calls := tuple(_arguments(*found.groups()) for found in _LLAMAS_FUNCTION.finditer(answer)):
        return _LLAMAS_FUNCTION.sub("", answer).strip(), calls
    bare = read_bare_calls(answer) or _several(answer) or _pythonic(answer)
    return ("", bare) if bare and all(call.name in offered for call in bare) else None


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
    calls = read_bare_calls(text) or _several(text) or _pythonic(text)
    if not calls:
        raise InputError(f"what follows {_LLAMAS} is no call of a function on offer: {text.strip()[:60]!r}")
    return calls


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


def _pythonic(text: str) -> Calls:
    """The calls of a text that is a list of them, or one, in Python's syntax, arguments by name; else none."""
    if not re.match(r"\s*\[?\s*[A-Za-z_][\w.]*\(", text) or len(text) > MAX_PYTHON_CHARACTERS:
        return ()
    try:
        parsed = ast.parse(text.strip(), mode="eval").body
        nodes = parsed.elts if isinstance(parsed, ast.List) else [parsed]
        return tuple(map(_pythonic_call, nodes))
    # What hostile text makes the parser raise, as in `storm_core.toolcalls.literals`.
    except (InputError, ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return ()


def _pythonic_call(node: ast.expr) -> ToolCall:
    if not isinstance(node, ast.Call) or node.args or any(keyword.arg is None for keyword in node.keywords):
        raise ValueError("no call with arguments by name")
    arguments = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
    (call,) = read_calls({"name": ast.unparse(node.func), "arguments": arguments}, "the answer")
    return call
