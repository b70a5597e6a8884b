"""The chat adapters: the conversation in a row, in whichever of the published shapes it comes."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.records import Message
from storm_core.sources.files.data_files import read_rows
from storm_core.sources.files.rows import UNFIT, Rejected, Row
from storm_core.sources.formats.call_spellings import is_nothing, parse_literal, read_calls, read_tools
from storm_core.sources.formats.contents import text_of
from storm_core.sources.formats.learning import learned_part
from storm_core.sources.formats.tool_conversations import normalise
from storm_core.sources.formats.transcripts import read_anthropics_dialogue, read_glaives_chat, without_speaker
from storm_core.sources.formats.turns import Turn, read_turns, with_one_system

# Where each shape keeps its conversation, in the order in which columns tell; `chosen` is a pair's better answer.
SHAPES = {
    "openai": "messages",
    "sharegpt": "conversations",
    "conversation": "conversation",
    "preference": "chosen",
    "completion": "completion",
    "xlam": "answers",
    "glaive": "chat",
    "instruction": "instruction",
}
_QUESTIONS = ("instruction", "prompt", "question", "query")
_INPUTS = ("input", "context")
_ANSWERS = ("output", "response", "answer")
_SYSTEMS = ("system", "system_prompt", "system_message")
_TOOLS = ("tools", "functions")
_MOST_NAMED = 5
# What a text speaks of and no message shows.
_MEDIA = ("image", "images", "video", "videos", "audio", "audios")
# KTO's mark of an answer that is not wanted: of TRL beside `completion`, of LLaMA-Factory anywhere.
_WANTED, _KTO_TAG = "label", "kto_tag"
COLUMNS = tuple(
    dict.fromkeys(
        (*SHAPES.values(), *_QUESTIONS, *_INPUTS, *_ANSWERS, "history", *_SYSTEMS, *_TOOLS, *_MEDIA, _WANTED, _KTO_TAG)
    )
)


def read(data: Artifact, path: str, shape: str | None = None, *, learned: bool = True) -> Iterator[Row | Rejected]:
    """The rows at or below `path`, streamed.

    Args:
        data: what holds the files.
        path: a file or directory in there, and `#SPLIT` where only one split is wanted.
        shape: one of `SHAPES`; without it each row's own columns tell, in the order of `SHAPES`.
        learned: whether it is to be learned from, and not to measure with.

    Raises:
        InputError: there is no such file, or one cannot be read as a whole.
    """
    for raw in read_rows(data, path, COLUMNS, learned=learned):
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

    Takes `messages` or `conversation` [{role, content}], `conversations` [{from, value}], a preference pair's `chosen`
    (messages, a dialogue, or the answer to `prompt`), `prompt` and `completion`, xLAM's `query` and `answers`, Glaive's
    `chat`, or `instruction`, `input` or `context`, and `output` or `response`, after the pairs of a `history`. A
    `system` column comes before the system message of the turns; `tools` become the recipe's system prompt. Turns
    behind the last answer that is to be learned are left out; `untrained_turns` in the meta counts them. An answer
    that KTO marks as not wanted is unfit, by the meta.

    Raises:
        InputError: the row has none of these, a turn is not a role and a text, a tool call cannot be read, or an answer
            is not to be learned that later ones need.
    """
    _check_media(row)
    shape = shape or _shape_of(row)
    turns = _with_system(row, _turns(row, shape))
    learned, untrained = learned_part(turns)
    tools = [*read_tools(_first(row, _TOOLS)), *(tool for turn in learned for tool in turn.tools)]
    messages, meta = normalise(learned, tools)
    if row.get(_KTO_TAG) is False or (shape == "completion" and row.get(_WANTED) is False):
        meta = {**meta, UNFIT: "unwanted_answer"}
    return messages, {**meta, "untrained_turns": untrained} if untrained else meta


def _check_media(row: Mapping[str, Any]) -> None:
    for column in _MEDIA:
        if row.get(column):
            raise InputError(f"the row has something under {column!r}, and text alone is read")


def _shape_of(row: Mapping[str, Any]) -> str:
    if isinstance(row.get("chosen"), Mapping):
        # LLaMA-Factory's pairs: the better answer to the `conversations` before it.
        return "preference"
    for is_empty in _EMPTY:
        for shape, column in SHAPES.items():
            if shape == "xlam" and not _may_be_calls(row.get(column)):
                continue
            if not is_empty(row.get(column)) or (shape == "instruction" and row.get(column) is not None):
                return shape
        if _first(row, (*_QUESTIONS, "input")) is not None and _first(row, _ANSWERS) is not None:
            return "instruction"
    there = ", ".join(list(map(str, row))[:_MOST_NAMED]) or "no column that is read"
    raise InputError(f"no messages: none of {', '.join(SHAPES.values())}; the row has {there}")


def _may_be_calls(answers: Any) -> bool:
    """Whether `answers` may be xLAM's: SQuAD and Nectar have other things there."""
    if isinstance(answers, list) and answers:
        return all(isinstance(one, Mapping) and "name" in one for one in answers)
    return not answers or isinstance(answers, str)


def _is_blank(value: Any) -> bool:
    return value.strip() in ("", "null", "None") if isinstance(value, str) else not value


# Of a column that is empty another one may have what is looked for; an empty list or object in text is an answer where
# no other is there.
_EMPTY = (is_nothing, _is_blank)


def _turns(row: Mapping[str, Any], shape: str) -> list[Turn]:
    column = SHAPES[shape]
    if row.get(column) is None and not (shape == "instruction" and _first(row, (*_QUESTIONS, "input")) is not None):
        raise InputError(f"no messages: no {column}, where {shape} rows have them")
    readers: dict[str, Callable[[Mapping[str, Any]], list[Turn]]] = {
        "instruction": _instruction,
        "preference": _chosen,
        "completion": _completion,
        "xlam": _xlam,
        "glaive": lambda row: read_glaives_chat(text_of(row["chat"], "chat")),
    }
    read = readers.get(shape)
    return read(row) if read else read_turns(column, row[column])


def _instruction(row: Mapping[str, Any]) -> list[Turn]:
    answer = Turn(role="assistant", text=text_of(_first(row, _ANSWERS), " or ".join(_ANSWERS[:2])))
    return [*_history(row.get("history")), _question(row), answer]


def _history(value: Any) -> list[Turn]:
    """The turns of Alpaca's `history`, pairs of what was asked and answered before."""
    if is_nothing(value):
        return []
    pairs = parse_literal(value, "history") if isinstance(value, str) else value
    if not isinstance(pairs, list) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise InputError("history is not a list of pairs of question and answer")
    return [
        Turn(role=role, text=text_of(text, f"history[{place}]"))
        for place, pair in enumerate(pairs)
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]


def _chosen(row: Mapping[str, Any]) -> list[Turn]:
    """The conversation with the better answer; `chosen` may hold all of it, or only what follows `prompt`."""
    turns = _following(row["chosen"], "chosen")
    return turns if any(turn.role == "user" for turn in turns) else [*_prompt(row), *turns]


def _completion(row: Mapping[str, Any]) -> list[Turn]:
    return [*_prompt(row), *_following(row["completion"], "completion")]


def _following(value: Any, name: str) -> list[Turn]:
    """What follows a prompt: turns, a dialogue, or the text of one answer."""
    if not isinstance(value, str):
        return read_turns(name, [value] if isinstance(value, Mapping) and {"role", "from"} & set(value) else value)
    return read_anthropics_dialogue(value) or _turns_as_text(value, name) or [Turn(role="assistant", text=value)]


def _prompt(row: Mapping[str, Any]) -> list[Turn]:
    """The turns of `prompt`, which may be a list, its JSON or a dialogue; or one question."""
    prompt = row.get("prompt")
    earlier = next((column for column in ("conversations", "messages") if isinstance(row.get(column), list)), None)
    if prompt is None and earlier:
        return read_turns(earlier, row[earlier])
    if isinstance(prompt, list) and prompt:
        return read_turns("prompt", prompt)
    if isinstance(prompt, str) and (turns := read_anthropics_dialogue(prompt) or _turns_as_text(prompt, "prompt")):
        # A dialogue ends with the name of who speaks next.
        return turns[:-1] if turns[-1].role == "assistant" and not turns[-1].text else turns
    return [_question(row)]


def _turns_as_text(text: str, name: str) -> list[Turn]:
    """The turns whose JSON the text is; none where it is any other text."""
    value = None
    if text.lstrip().startswith("["):
        with contextlib.suppress(InputError):
            value = parse_literal(text, name)
    listed = value if isinstance(value, list) else []
    are_turns = all(isinstance(one, Mapping) and {"role", "from"} & set(one) for one in listed)
    return read_turns(name, listed) if are_turns else []


def _xlam(row: Mapping[str, Any]) -> list[Turn]:
    """XLAM's question and the calls that answer it; `[]` is its answer where no function fits, and the recipe's."""
    calls = read_calls(row["answers"], "answers")
    return [_question(row), Turn(role="assistant", text="" if calls else "[]", calls=calls)]


def _question(row: Mapping[str, Any]) -> Turn:
    inputs = [text_of(row[column], column) for column in _INPUTS if row.get(column)]
    asked = _first(row, _QUESTIONS)
    if inputs and (asked is None or asked == ""):
        return Turn(role="user", text="\n\n".join(inputs))
    return Turn(role="user", text="\n\n".join([text_of(asked, " or ".join(_QUESTIONS[:3])), *inputs]))


def _with_system(row: Mapping[str, Any], turns: list[Turn]) -> list[Turn]:
    """The turns with what the row says apart as system message, before their own."""
    system = _first(row, _SYSTEMS)
    if not system:
        return turns
    text = without_speaker(text_of(system, "system"))
    has_own = bool(turns) and turns[0].role == "system"
    return turns if has_own and text in turns[0].text else with_one_system([Turn(role="system", text=text), *turns])


def _first(row: Mapping[str, Any], columns: tuple[str, ...]) -> Any:
    """The first of the columns that holds anything, or else the first that is there."""
    found = [row[column] for column in columns if row.get(column) is not None]
    held = (value for is_empty in _EMPTY for value in found if not is_empty(value))
    return next(held, found[0] if found else None)
