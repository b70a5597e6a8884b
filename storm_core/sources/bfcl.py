"""The `bfcl` adapter: function-calling examples made of BFCL's questions and possible answers."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.records import Message
from storm_core.sources.rows import UNFIT, Row
from storm_core.toolcalls.ast_check import check_calls
from storm_core.toolcalls.bfcl import BfclEntry, prompt_messages, read_bfcl, reference_calls
from storm_core.toolcalls.calls import render_tool_call


def read(data: Artifact, path: str) -> Iterator[Row]:
    """An example in the recipe's prompt format for every entry; `path` is `DIRECTORY#CATEGORY+CATEGORY`.

    Raises:
        InputError: no categories, an unknown one, a missing file, or a line that is not an entry of BFCL.
    """
    directory, _, listed = path.partition("#")
    if not listed:
        raise InputError(f"bfcl:{path} names no categories; write DIRECTORY#CATEGORY+CATEGORY, as in data#live_simple")
    for category in listed.split("+"):
        for entry in read_bfcl(data.path / directory, category):
            file = PurePosixPath(directory, f"BFCL_v4_{category}.json")
            yield _to_row(f"{file}:{entry.id}", entry)


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
