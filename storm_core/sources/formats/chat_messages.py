"""The chat adapters: the conversation in a row, in whichever of the published shapes it comes."""

from collections.abc import Iterator, Mapping
from typing import Any

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.records import Message
from storm_core.sources.files.data_files import read_rows
from storm_core.sources.files.rows import Rejected, Row
from storm_core.sources.formats.call_spellings import read_tools
from storm_core.sources.formats.tool_conversations import normalise
from storm_core.sources.formats.turns import Turn, read_turns, text_of

# Where each shape keeps its conversation; of a preference pair `chosen` is the better answer.
SHAPES = {"openai": "messages", "sharegpt": "conversations", "preference": "chosen", "instruction": "instruction"}
_QUESTIONS = ("instruction", "prompt", "question")
_ANSWERS = ("output", "response")
_SYSTEMS = ("system", "system_prompt")
_TOOLS = ("tools", "functions")
COLUMNS = ("messages", "conversations", "chosen", *_QUESTIONS, "input", *_ANSWERS, *_SYSTEMS, *_TOOLS)


def read(data: Artifact, path: str, shape: str | None = None) -> Iterator[Row | Rejected]:
    """The rows at or below `path`, streamed.

    Args:
        data: what holds the files.
        path: a file or directory in there, and `#SPLIT` where only one split is wanted.
        shape: one of `SHAPES`; without it each row's own columns tell, in the order of `SHAPES`.

    Raises:
        InputError: there is no such file, or one cannot be read as a whole.
    """
    for raw in read_rows(data, path, COLUMNS):
        if isinstance(raw, Rejected):
            yield raw
            continue
        try:
            messages, meta = conversation_of(raw.values, shape)
        except InputError as error:
            yield Rejected(place=raw.place, reason=str(error))
        else:
            yield Row(place=raw.place, messages=messages, meta=meta)


def conversation_of(row: Mapping[str, Any], shape: str | None = None) -> tuple[tuple[Message, ...], dict[str, Any]]:
    """The conversation in one row, its tool calls in the recipe's format, and what else the row says of it.

    Takes `messages` [{role, content}], `conversations` [{from, value}], a preference pair's `chosen` (messages, or the
    answer to `prompt`), or `instruction`, `input` and `output` or `response`. A `system` column becomes the first
    message where the turns have none; `tools` become the recipe's system prompt.

    Raises:
        InputError: the row has none of these, a turn is not a role and a text, or a tool call cannot be read.
    """
    turns = _with_system(row, _turns(row, shape or _shape_of(row)))
    return normalise(turns, read_tools(_first(row, _TOOLS)))


def _shape_of(row: Mapping[str, Any]) -> str:
    for shape, column in SHAPES.items():
        if row.get(column) is not None:
            return shape
    raise InputError(f"no messages: none of {', '.join(SHAPES.values())}")


def _turns(row: Mapping[str, Any], shape: str) -> list[Turn]:
    column = SHAPES[shape]
    if row.get(column) is None:
        raise InputError(f"no messages: no {column}, where {shape} rows have them")
    if shape == "instruction":
        return [_question(row), Turn(role="assistant", text=text_of(_first(row, _ANSWERS), " or ".join(_ANSWERS)))]
    if shape == "preference":
        return _chosen(row)
    return read_turns(column, row[column])


def _chosen(row: Mapping[str, Any]) -> list[Turn]:
    """The conversation with the better answer; `chosen` may hold all of it, or only what follows `prompt`."""
    prompt = row.get("prompt")
    before = read_turns("prompt", prompt) if isinstance(prompt, list) else []
    chosen = row["chosen"]
    turns = [Turn(role="assistant", text=chosen)] if isinstance(chosen, str) else read_turns("chosen", chosen)
    if any(turn.role == "user" for turn in turns):
        return turns
    return [*(before or [_question(row)]), *turns]


def _question(row: Mapping[str, Any]) -> Turn:
    text = text_of(_first(row, _QUESTIONS), " or ".join(_QUESTIONS))
    if row.get("input"):
        text = f"{text}\n\n{text_of(row['input'], 'input')}"
    return Turn(role="user", text=text)


def _with_system(row: Mapping[str, Any], turns: list[Turn]) -> list[Turn]:
    system = _first(row, _SYSTEMS)
    if not system or any(turn.role == "system" for turn in turns):
        return turns
    return [Turn(role="system", text=text_of(system, "system")), *turns]


def _first(row: Mapping[str, Any], columns: tuple[str, ...]) -> Any:
    return next((row[column] for column in columns if row.get(column) is not None), None)
