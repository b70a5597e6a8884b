"""The rows of BFCL's files: JSON lines, each checked to have the form that the AST check relies on."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storm_core.errors import InputError

# The Python type of each type name in BFCL's function descriptions; a tuple arrives from JSON as a list.
PYTHON_TYPES: Mapping[str, type] = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "any": str,
}
# Those that declare the type of their elements, under `items`.
LIST_TYPES = ("array", "tuple")


def pair_rows(questions: Path, answers: Path | None = None) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    """The objects of a file of questions, each with the object of the same ID in a file of possible answers, if any.

    Raises:
        InputError: no such file, a line that is not a JSON object with a text as id, or two with the same.
    """
    possible = {row["id"]: row for row in _read_rows(answers)} if answers else {}
    return [(row, possible.get(row["id"])) for row in _read_rows(questions)]


def check_question(row: Mapping[str, Any]) -> None:
    """Refuse a row that is not an id, a question of one turn, and functions.

    Raises:
        InputError: it is not.
    """
    question, functions = row.get("question"), row.get("function")
    turns = question if isinstance(question, list) else []
    messages = turns[0] if len(turns) == 1 and isinstance(turns[0], list) else []
    well_formed = (
        bool(messages)
        and all(isinstance(m, dict) and _are_texts(m.get("role"), m.get("content")) for m in messages)
        and isinstance(functions, list)
        and all(isinstance(function, dict) and _are_texts(function.get("name")) for function in functions)
    )
    if not well_formed:
        raise InputError("not an entry with an id, a question of one turn, and functions")


def check_answers(question: Mapping[str, Any], answer: Mapping[str, Any] | None) -> None:
    """Refuse possible answers that the question's functions cannot be checked against.

    Raises:
        InputError: no answer, another form than `[{function: {argument: [values]}}]`, or a function or type unknown.
    """
    if answer is None:
        raise InputError("no possible answer; take both files from the same release of bfcl-eval")
    calls = answer.get("ground_truth")
    if not isinstance(calls, list) or not calls or not all(_is_possible_call(call) for call in calls):
        raise InputError("ground_truth is not of the form [{function: {argument: [values]}}]")
    # Of functions with the same name the first one counts.
    functions = {function["name"]: function for function in reversed(question["function"])}
    for name, allowed in (item for call in calls for item in call.items()):
        if name not in functions or not _is_checkable(functions[name].get("parameters")):
            raise InputError(f"the question has no function {name!r} with parameters of known types")
        _check_dictionaries(functions[name]["parameters"]["properties"], allowed)


def _check_dictionaries(properties: Mapping[str, Any], allowed: Mapping[str, list[Any]]) -> None:
    for argument, values in allowed.items():
        if not all(_lists_values(properties.get(argument, {}), value) for value in values):
            raise InputError(f"ground_truth does not list the allowed values of each key of the argument {argument!r}")


def _read_rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise InputError(f"no file {path}; name the data directory of bfcl-eval, which holds BFCL_v4_*.json")
    # Not splitlines(): JSON may hold other line ends, such as U+2028, inside a string.
    lines = [line.strip() for line in path.read_bytes().split(b"\n")]
    rows = [_parse_row(f"{path}:{number}", line) for number, line in enumerate(lines, 1) if line]
    names = Counter(row["id"] for row in rows)
    if repeated := next((name for name, count in names.items() if count > 1), None):
        raise InputError(f"{path} has {names[repeated]} entries with the id {repeated!r}; leave all but one out")
    return rows


def _parse_row(where: str, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8").removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8: byte {line[error.start]:#04x} at {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise InputError(f"{where} is not a JSON object")
    if not isinstance(row.get("id"), str):
        raise InputError(f"{where} is not an entry: its id is not a text")
    return row


def _are_texts(*values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


def _is_possible_call(call: Any) -> bool:
    if not isinstance(call, dict) or len(call) != 1:
        return False
    (allowed,) = call.values()
    return isinstance(allowed, dict) and all(isinstance(values, list) for values in allowed.values())


def _lists_values(schema: Mapping[str, Any], value: Any) -> bool:
    """Whether every dictionary that an allowed value has where the schema declares one lists the values of each key."""
    if schema.get("type") == "dict" and isinstance(value, dict):
        return all(isinstance(values, list) for values in value.values())
    if schema.get("type") in LIST_TYPES and schema["items"]["type"] == "dict" and isinstance(value, list):
        return all(_lists_values(schema["items"], item) for item in value)
    return True


def _is_checkable(parameters: Any) -> bool:
    """Whether the parameters name what is required and each argument's type, elements of lists included."""
    required = parameters.get("required") if isinstance(parameters, dict) else None
    if not isinstance(required, list) or not _are_texts(*required):
        return False
    properties = parameters.get("properties")
    return isinstance(properties, dict) and all(
        _is_known(schema) and (schema["type"] not in LIST_TYPES or _is_known(schema.get("items")))
        for schema in properties.values()
    )


def _is_known(schema: Any) -> bool:
    return isinstance(schema, dict) and isinstance(schema.get("type"), str) and schema["type"] in PYTHON_TYPES
