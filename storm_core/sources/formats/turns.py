"""The turns of one conversation as data sets spell them: roles, texts, and the tool calls in them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

from storm_core.errors import InputError
from storm_core.sources.formats.call_spellings import parse_literal, read_calls
from storm_core.sources.formats.contents import Content, read_contents, result_text, text_of
from storm_core.toolcalls.calls import ToolCall

# ShareGPT's names, and those its descendants added, for the roles of `storm_core.records.ROLES`.
_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "developer": "system",
    "function": "tool",
    "function_response": "tool",
    "function-response": "tool",
    "observation": "tool",
    "ipython": "tool",
}
# Turns of the assistant that hold nothing but a call.
_CALL_ROLES = ("function_call", "function-call", "tool_call")
# Whether an answer is to be learned: OpenAI's name, axolotl's, and that of ms-swift.
_LEARNED = ("weight", "train", "training", "loss")
# Which characters of an answer are to be learned, as axolotl has it.
_LEARNED_IN_PART = ("train_detail", "training_detail")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One turn; `calls` are those that stand apart from its text.

    Attributes:
        learned: whether it is to be learned, where it is an answer.
        call_ids: of the calls.
        result_of: ID of the call whose result the text is.
    """

    role: str
    text: str
    calls: tuple[ToolCall, ...] = ()
    learned: bool = True
    call_ids: tuple[str, ...] = ()
    result_of: str = ""


def read_turns(column: str, turns: Any) -> list[Turn]:
    """The turns that a column holds: a list of {role, content} or {from, value}, its JSON, or two parallel lists.

    System messages that begin it are one, and results follow the order of their calls.

    Raises:
        InputError: says which turn is not a role and a text, or has a call that cannot be read.
    """
    if isinstance(turns, str) and turns.lstrip().startswith(("[", "{")):
        turns = parse_literal(turns, column)
    if isinstance(turns, Mapping) and turns and all(isinstance(values, list) for values in turns.values()):
        turns = _as_records(column, turns)
    if not isinstance(turns, list):
        raise InputError(f"{column} is not a list of messages")
    read = [one for position, turn in enumerate(turns) for one in _read_turn(f"{column}[{position}]", turn)]
    return list(_in_order_of_calls(with_one_system(read)))


def with_one_system(turns: Sequence[Turn]) -> list[Turn]:
    """The turns with all system messages that begin them as one, a blank line between their texts."""
    leading = next((place for place, turn in enumerate(turns) if turn.role != "system"), len(turns))
    if leading < 2:
        return list(turns)
    texts = dict.fromkeys(turn.text for turn in turns[:leading] if turn.text.strip())
    return [Turn(role="system", text="\n\n".join(texts)), *turns[leading:]]


def _as_records(column: str, lists: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """The records whose fields stand as parallel lists, as older versions of `datasets` keep a list of records."""
    if len({len(values) for values in lists.values()}) > 1:
        lengths = ", ".join(f"{len(values)} of {key!r}" for key, values in lists.items())
        raise InputError(f"{column} holds parallel lists of unequal lengths: {lengths}; give every turn all of them")
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _read_turn(name: str, turn: Any) -> Iterator[Turn]:
    if not isinstance(turn, Mapping):
        raise InputError(f"{name} is not a role and a text")
    spelled = _role(turn, f"the role of {name}")
    role = _ROLES.get(spelled, spelled)
    content = turn["content"] if turn.get("content") is not None else turn.get("value")
    learned = _is_learned(name, turn)
    if spelled in _CALL_ROLES:
        yield Turn(role="assistant", text="", calls=read_calls(content, f"the call in {name}"), learned=learned)
    elif role == "tool":
        yield Turn(role="tool", text=result_text(content), result_of=str(turn.get("tool_call_id") or ""))
    else:
        calls, call_ids = _calls_apart(name, turn)
        # Beside a call there need not be any text.
        contents = read_contents(content or "" if calls else content, f"the content of {name}")
        yield from (_spoken(role, one, calls, call_ids, learned=learned) for one in contents)


def _role(turn: Mapping[str, Any], name: str) -> str:
    given = next((turn[key] for key in ("role", "from") if turn.get(key) not in (None, "")), None)
    if isinstance(given, int | float):
        raise InputError(
            f"{name} is {given!r} and not its name; where it is a ClassLabel of `datasets`, write its names"
        )
    return text_of(given, name)


def _spoken(
    role: str, content: Content, calls: tuple[ToolCall, ...], call_ids: tuple[str, ...], *, learned: bool
) -> Turn:
    if content.result_of is not None:
        return Turn(role="tool", text=content.text, result_of=content.result_of)
    return Turn(
        role=role,
        text=content.text,
        calls=content.calls + calls,
        call_ids=content.call_ids + call_ids,
        learned=learned,
    )


def _calls_apart(name: str, turn: Mapping[str, Any]) -> tuple[tuple[ToolCall, ...], tuple[str, ...]]:
    """The calls in OpenAI's fields, and their IDs."""
    found = turn.get("tool_calls") or turn.get("function_call")
    if isinstance(found, str):
        found = parse_literal(found, f"a call in {name}") if found.strip() else None
    calls = read_calls(found, f"a call in {name}") if found else ()
    listed = found if isinstance(found, list) else [found]
    return calls, tuple(str(one.get("id") or "") if isinstance(one, Mapping) else "" for one in listed[: len(calls)])


def _is_learned(name: str, turn: Mapping[str, Any]) -> bool:
    for key in _LEARNED_IN_PART:
        if turn.get(key):
            raise InputError(f"{key} of {name} says which characters are to be learned; an answer is learned whole")
    said = {key: turn[key] for key in _LEARNED if turn.get(key) is not None}
    for key, value in said.items():
        if not isinstance(value, bool | int | float) or value not in (0, 1):
            raise InputError(f"{key} of {name} must be 0 or 1, or false or true, got {value!r}")
    return all(said.values())


def _in_order_of_calls(turns: Sequence[Turn]) -> Iterator[Turn]:
    """The turns, results that name their calls in the order of these: our format names none."""
    call_ids: tuple[str, ...] = ()
    for role, run in groupby(turns, lambda turn: turn.role):
        listed = list(run)
        are_named = len(set(call_ids)) == len(call_ids) and {turn.result_of for turn in listed} <= set(call_ids)
        if role == "tool" and are_named:
            listed.sort(key=partial(_place, call_ids))
        yield from listed
        call_ids = listed[-1].call_ids


def _place(call_ids: tuple[str, ...], result: Turn) -> int:
    return call_ids.index(result.result_of)
