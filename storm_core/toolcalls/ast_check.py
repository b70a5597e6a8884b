"""BFCL's rules for a right answer (its AST check for Python), written anew.

The verdicts equal those of `bfcl_eval.eval_checker.ast_eval.ast_checker` 2026.3.23; a differential test keeps them so.
That includes its oddities, each marked below where it is followed. The official checker raises on a few malformed
values; those are wrong answers here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storm_core.toolcalls.bfcl import BfclEntry
from storm_core.toolcalls.bfcl_rows import LIST_TYPES, PYTHON_TYPES
from storm_core.toolcalls.calls import ToolCall

# Spelling that does not count: "April 1, 2024" is "april 1 2024".
_IGNORED_CHARACTERS = re.compile(r"[ ,./\-_*^]")
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right, and why not (empty when it is)."""

    valid: bool
    error: str


def check_calls(entry: BfclEntry, calls: Sequence[ToolCall]) -> Verdict:
    """Whether `calls` answer the entry's question.

    Calls of the parallel categories may come in any order. An irrelevance entry wants no call; note that the official
    runner also counts a reply that does not parse as right there.
    """
    if len(calls) != len(entry.possible_answers):
        return Verdict(False, f"{len(calls)} calls instead of {len(entry.possible_answers)}")
    remaining = list(calls)
    for answer in entry.possible_answers:
        # Each answer takes the first call that fits, even where another choice would leave a better match for the rest.
        errors = [_call_error(entry, answer, call) for call in remaining]
        if "" not in errors:
            return Verdict(False, "; or ".join(errors))
        remaining.pop(errors.index(""))
    return Verdict(True, "")


def _call_error(entry: BfclEntry, answer: Mapping[str, Any], call: ToolCall) -> str:
    """Why `call` is not the answer; empty if it is."""
    ((name, allowed),) = answer.items()
    if call.name != name:
        return f"function {_show(call.name)} instead of {name!r}"
    parameters = next(tool["parameters"] for tool in entry.tools if tool["name"] == name)
    for argument in parameters["required"]:
        if argument not in call.arguments:
            return f"{name} lacks the required argument {argument!r}"
    for argument, value in call.arguments.items():
        if argument not in parameters["properties"] or argument not in allowed:
            return f"{name} has an unexpected argument {_show(argument)}"
        if not _accepts(parameters["properties"][argument], allowed[argument], value):
            return f"{name} has {argument} = {_show(value)}, expected one of {_show(allowed[argument])}"
    for argument, values in allowed.items():
        if argument not in call.arguments and "" not in values:
            return f"{name} lacks the argument {argument!r}"
    return ""


def _accepts(schema: Mapping[str, Any], allowed: list[Any], given: Any) -> bool:
    """Whether the value is one of the allowed ones and has their type or the declared one."""
    declared = PYTHON_TYPES[schema["type"]]
    element = PYTHON_TYPES[schema["items"]["type"]] if schema["type"] in LIST_TYPES else None
    value = _converted(schema["type"], given)
    value_type, allowed_type = type(value), _type_of_first(allowed)
    as_declared = value_type is declared
    if not as_declared and value_type is not allowed_type:
        return False
    if as_declared and element is not None and not any(_elements_fit(element, one, value) for one in allowed):
        return False
    # Allowed values of another type than the declared one (a variable's name, null) are compared as they stand.
    if allowed_type not in (declared, None):
        return value in allowed
    return any(_equals(one, value, element) for one in allowed)


def _converted(type_name: str, value: Any) -> Any:
    """The value after the two conversions that Python makes by itself: tuple to list, int to float."""
    if type_name == "tuple" and type(value) is tuple:
        return list(value)
    if type_name == "float" and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            return value
    return value


def _type_of_first(allowed: list[Any]) -> type | None:
    """The type of the first allowed value that is not `""`; None if there is no other."""
    return next((type(one) for one in allowed if one != ""), None)


def _elements_fit(element: type, one: Any, value: list[Any]) -> bool:
    """Whether each element of a list has the declared type, or else that of the allowed list's first element.

    Oddity: next to an allowed value that is not a list, such as `""`, elements of any type fit.
    """
    return type(one) is not list or all(type(item) in (element, _type_of_first(one)) for item in value)


def _equals(one: Any, value: Any, element: type | None) -> bool:
    """Whether `value`, which has the declared type, equals the allowed value `one`."""
    if type(value) is dict:
        return _dict_equals(one, value)
    if type(value) is list:
        # Oddity: an allowed `""` equals the empty list, and another string the list of its characters.
        return isinstance(one, list | str) and _list_equals(list(one), value, element)
    return bool(_normalised(one) == _normalised(value))


def _list_equals(one: list[Any], value: list[Any], element: type | None) -> bool:
    """Whether two lists agree element by element; strings inside inner lists must be spelt alike."""
    if element is dict:
        return len(one) == len(value) and all(_dict_equals(*pair) for pair in zip(one, value, strict=True))
    return [_normalised(item) for item in one] == [_normalised(item) for item in value]


def _dict_equals(one: Any, value: Any) -> bool:
    """Whether `value` has only values that `one` lists for their keys, and lacks only keys that may be left out."""
    if not isinstance(one, dict) or not isinstance(value, dict):
        return False
    listed = all(
        key in one and _normalised(item) in [_normalised(other) for other in one[key]] for key, item in value.items()
    )
    return listed and all(key in value or "" in items for key, items in one.items())


def _normalised(value: Any) -> Any:
    """A string without what does not count in its spelling; any other value as it is."""
    if not isinstance(value, str):
        return value
    return _IGNORED_CHARACTERS.sub("", value).lower().replace("'", '"')


def _show(value: Any) -> str:
    """The value for an error message, cut to one short line."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
