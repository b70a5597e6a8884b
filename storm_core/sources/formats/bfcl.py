"""The `bfcl` adapter: function-calling examples made of BFCL's questions and possible answers."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.records import Message
from storm_core.sources.files.rows import UNFIT, Rejected, Row
from storm_core.toolcalls.ast_check import check_calls
from storm_core.toolcalls.bfcl import BfclEntry, file_names, make_entry, prompt_messages, reference_calls
from storm_core.toolcalls.bfcl_rows import pair_rows
from storm_core.toolcalls.calls import render_tool_call


def read(data: Artifact, path: str) -> Iterator[Row | Rejected]:
    """An example in the recipe's prompt format for every entry; `path` is `DIRECTORY#CATEGORY+CATEGORY`.

    Raises:
        InputError: no categories, an unknown one, a file that `data` does not list, or a line without an ID.
    """
    directory, _, listed = path.partition("#")
    if not listed:
        raise InputError(f"bfcl:{path} names no categories; write DIRECTORY#CATEGORY+CATEGORY, as in data#live_simple")
    for category in listed.split("+"):
        names = [PurePosixPath(directory, name).as_posix() for name in file_names(category)]
        for question, answer in pair_rows(*(_file(data, name) for name in names)):
            yield _read_row(f"{names[0]}:{question['id']}", category, question, answer)


def _file(data: Artifact, name: str) -> Path:
    try:
        return data.file(name)
    except InputError as error:
        raise InputError(f"{error}, or its manifest does not list it; name the data directory of bfcl-eval") from error


def _read_row(
    place: str, category: str, question: Mapping[str, Any], answer: Mapping[str, Any] | None
) -> Row | Rejected:
    try:
        entry = make_entry(category, question, answer)
    except InputError as error:
        return Rejected(place=place, reason=str(error))
    return _to_row(place, entry)


def _to_row(place: str, entry: BfclEntry) -> Row:
    """The question under the recipe's system prompt, and one right answer: a block a call, `[]` where none is right.

    A question's own system message follows the recipe's prompt after a blank line.
    """
    calls = reference_calls(entry)
    answer = "\n".join(render_tool_call(call) for call in calls) or "[]"
    meta = {"bfcl_id": entry.id, "category": entry.category, "tools": [tool["name"] for tool in entry.tools]}
    if not check_calls(entry, calls).valid:
        meta[UNFIT] = "no_right_answer"
    messages = (*prompt_messages(entry, guidelines=False), Message(role="assistant", content=answer))
    return Row(place=place, messages=messages, meta=meta)
