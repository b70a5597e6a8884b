"""Calls in Python's syntax, as Llama 3.2 and 4 and ToolACE write them: `[f(a=1), Some Function(b="x")]`."""

import ast
import re
from collections.abc import Collection

from storm_core.errors import InputError
from storm_core.sources.formats.call_spellings import read_calls
from storm_core.toolcalls.calls import ToolCall
from storm_core.toolcalls.literals import MAX_PYTHON_CHARACTERS

Calls = tuple[ToolCall, ...]

# What JSON has for Python's constants.
_CONSTANTS = {"true": True, "false": False, "null": None}
_STRING = r"""\"(?:\\.|[^"\\])*\"|'(?:\\.|[^'\\])*'"""
_FIRST_CALL = re.compile(r"\s*\[?\s*[A-Za-z_][\w.]*\(")
_LISTED_CALLS = re.compile(r"\s*\[\s*[A-Za-z_][\w.]*\(.*\)\s*\]\s*", re.DOTALL)


def read_pythonic_answer(answer: str, offered: Collection[str]) -> tuple[str, Calls] | None:
    """The text before a list of calls that ends the answer, and the calls; None where it has none.

    Raises:
        InputError: the list calls a function on offer and cannot be read, or calls one that is not.
    """
    names = "|".join(map(re.escape, sorted(offered, key=len, reverse=True)))
    begun = re.search(rf"\[\s*(?:{names})\s*\(", answer)
    if begun and (not answer[: begun.start()].strip() or re.search(r"\)\s*\]\s*\Z", answer)):
        listed = answer[begun.start() :]
        calls = read_pythonic(listed, offered)
        if not calls:
            raise InputError(f"a list of calls cannot be read: arguments want names and values: {listed[:60]!r}")
        return answer[: begun.start()].strip(), _on_offer(calls, offered)
    calls = read_pythonic(answer, offered)
    if calls and all(call.name in offered for call in calls):
        return "", calls
    return ("", _on_offer(calls, offered)) if calls and _LISTED_CALLS.fullmatch(answer) else None


def read_pythonic(text: str, offered: Collection[str] = ()) -> Calls:
    """The calls of a text that is a list of them, or one, arguments by name; else none.

    Names of functions on offer need not be Python's.
    """
    if len(text) > MAX_PYTHON_CHARACTERS:
        return ()
    spelled, names = _as_identifiers(text, offered)
    if not _FIRST_CALL.match(spelled):
        return ()
    try:
        parsed = ast.parse(spelled.strip(), mode="eval").body
        nodes = parsed.elts if isinstance(parsed, ast.List) else [parsed]
        return tuple(_call(node, names) for node in nodes)
    # What hostile text makes the parser raise, as in `storm_core.toolcalls.literals`.
    except (InputError, ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return ()


def read_pythonic_lines(text: str) -> Calls:
    """The calls of a text that is a call in each line, or a list of them; none where it is anything else."""
    lines = [line for line in text.splitlines() if line.strip()]
    calls = [read_pythonic(line) for line in lines]
    return tuple(call for found in calls for call in found) if all(calls) else read_pythonic(text)


def _on_offer(calls: Calls, offered: Collection[str]) -> Calls:
    unknown = next((call.name for call in calls if call.name not in offered), None)
    if unknown is not None:
        raise InputError(f"the answer calls {unknown!r}, which is not among the functions on offer")
    return calls


def _as_identifiers(text: str, offered: Collection[str]) -> tuple[str, dict[str, str]]:
    """The text with names in Python's syntax for those that are not, and which stand for which; strings stay."""
    others = sorted((name for name in offered if not name.replace(".", "_").isidentifier()), key=len, reverse=True)
    if not others:
        return text, {}
    places = {name: f"function_{number}_on_offer" for number, name in enumerate(others)}
    found = re.compile(rf"{_STRING}|(?<![\w.])({'|'.join(map(re.escape, others))})\s*\(", re.DOTALL)
    spelled = found.sub(lambda match: f"{places[match[1]]}(" if match[1] else match[0], text)
    return spelled, {place: name for name, place in places.items()}


def _call(node: ast.expr, names: dict[str, str]) -> ToolCall:
    if not isinstance(node, ast.Call) or node.args or any(keyword.arg is None for keyword in node.keywords):
        raise ValueError("no call with arguments by name")
    arguments = {str(keyword.arg): ast.literal_eval(_WithConstants().visit(keyword.value)) for keyword in node.keywords}
    name = ast.unparse(node.func)
    (call,) = read_calls({"name": names.get(name, name), "arguments": arguments}, "the answer")
    return call


class _WithConstants(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(_CONSTANTS[node.id]) if node.id in _CONSTANTS else node
