"""Entries of the Berkeley Function Calling Leaderboard: a question, the tools on offer, the possible answers.

The recipe's prompt shows the tools exactly as BFCL's files spell them: names keep their dots, types stay `dict`,
`float` and `tuple`, and the official runner's remark on Python syntax is not added. A model therefore answers with the
names that the possible answers hold, and the checker has no names to convert (`underscore_to_dot` false there).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storm_core.errors import InputError
from storm_core.records import Message
from storm_core.toolcalls.bfcl_rows import LIST_TYPES, check_answers, check_question, pair_rows
from storm_core.toolcalls.calls import ToolCall
from storm_core.toolcalls.prompts import system_prompt

ANSWERED_CATEGORIES = (
    "simple_python",
    "multiple",
    "parallel",
    "parallel_multiple",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
)
# None of the tools fits the question: the right answer is no call.
IRRELEVANCE_CATEGORIES = ("irrelevance", "live_irrelevance")
CATEGORIES = ANSWERED_CATEGORIES + IRRELEVANCE_CATEGORIES


@dataclass(frozen=True, kw_only=True)
class BfclEntry:
    """One question of BFCL.

    Attributes:
        category: one of `CATEGORIES`.
        messages: the conversation so far; the last message is the user's.
        tools: function descriptions, as the file has them.
        possible_answers: one mapping a call, `{function name: {argument: [allowed values]}}`; an allowed `""` means
            that the argument may be left out. Empty for irrelevance.
    """

    id: str
    category: str
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...]
    possible_answers: tuple[Mapping[str, Any], ...]


def read_bfcl(directory: Path, category: str) -> list[BfclEntry]:
    """The entries of one category, in file order.

    Args:
        directory: holds the files of `file_names`.
        category: one of `CATEGORIES`.

    Raises:
        InputError: an unknown category, a missing file, or a line that is not an entry of BFCL.
    """
    files = [directory / name for name in file_names(category)]
    entries = []
    for question, answer in pair_rows(*files):
        try:
            entries.append(make_entry(category, question, answer))
        except InputError as error:
            raise InputError(f"{files[0]}, {question['id']}: {error}") from error
    return entries


def file_names(category: str) -> list[str]:
    """The files of a category in BFCL's data directory: the questions and, but for irrelevance, the possible answers.

    Raises:
        InputError: an unknown category.
    """
    if category not in CATEGORIES:
        raise InputError(f"{category!r} is not a BFCL category; use one of {', '.join(CATEGORIES)}")
    questions = f"BFCL_v4_{category}.json"
    return [questions] if category in IRRELEVANCE_CATEGORIES else [questions, f"possible_answer/{questions}"]


def make_entry(category: str, question: Mapping[str, Any], answer: Mapping[str, Any] | None) -> BfclEntry:
    """The entry that a row of questions, and the row of possible answers with its ID, hold.

    Raises:
        InputError: says what is wrong with the rows.
    """
    check_question(question)
    if category in ANSWERED_CATEGORIES:
        check_answers(question, answer)
    (turn,) = question["question"]
    return BfclEntry(
        id=question["id"],
        category=category,
        messages=tuple(Message(role=message["role"], content=message["content"]) for message in turn),
        tools=tuple(question["function"]),
        possible_answers=tuple(answer["ground_truth"]) if answer else (),
    )


def prompt_messages(entry: BfclEntry, *, guidelines: bool) -> tuple[Message, ...]:
    """The messages to send: the recipe's system prompt, then the question.

    A question's own system message is appended to ours after a blank line, as the official runner does.
    """
    prompt = system_prompt(entry.tools, guidelines=guidelines)
    first, *rest = entry.messages
    if first.role == "system":
        return (Message(role="system", content=f"{prompt}\n\n{first.content}"), *rest)
    return (Message(role="system", content=prompt), *entry.messages)


def reference_calls(entry: BfclEntry) -> list[ToolCall]:
    """One right answer: the first allowed value of each argument, without those that may be left out.

    BFCL has a few entries whose possible answers no call can meet (an argument that the tool does not have, a key with
    no allowed value): ask `ast_check.check_calls` before using the answer as an example.
    """
    tools = {tool["name"]: tool for tool in reversed(entry.tools)}
    return [
        ToolCall(name, _reference_arguments(tools[name]["parameters"], allowed))
        for answer in entry.possible_answers
        for name, allowed in answer.items()
    ]


def _reference_arguments(parameters: Mapping[str, Any], allowed: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The first allowed value of each argument that is required or may not be left out."""
    chosen = {}
    for name, values in allowed.items():
        if name in parameters["required"] or "" not in values:
            schema = parameters["properties"].get(name, {})
            chosen[name] = _reference_value(schema, _first_given(values))
    return chosen


def _reference_value(schema: Mapping[str, Any], value: Any) -> Any:
    """`value` with each dictionary in it, which lists the allowed values of every key, made a plain dictionary."""
    if schema.get("type") == "dict" and isinstance(value, dict):
        return {key: _first_given(values) for key, values in value.items() if "" not in values}
    if schema.get("type") in LIST_TYPES and schema["items"]["type"] == "dict" and isinstance(value, list):
        return [_reference_value(schema["items"], item) for item in value]
    return value


def _first_given(values: list[Any]) -> Any:
    """The first value that is not `""`; `""` or None where nothing else is allowed."""
    return next((value for value in values if value != ""), values[0] if values else None)
