"""The turns of one conversation as data sets spell them: roles, texts, and the tool calls in them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any

from storm_core.errors import InputError
from storm_core.sources.formats.call_spellings import parse_literal, read_calls, read_tools
from storm_core.sources.formats.contents import Content, read_contents, result_text, text_of
from storm_core.sources.formats.pythonic_calls import read_pythonic_lines
from storm_core.sources.formats.roles import role_of
from storm_core.toolcalls.calls import ToolCall

# Whether an answer is to be learned: OpenAI's name, axolotl's, and that of ms-swift.
_LEARNED = ("weight", "train", "training", "loss")
# Which characters of an answer are to be learned, as axolotl has it.
_LEARNED_IN_PART = ("train_detail", "training_detail")
# Where servers and data sets keep what a model thought before its answer.
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought", "thoughts")
_OFFERS = ("tools", "functions")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One turn; `calls` are those that stand apart from its text.

    Attributes:
        learned: whether it is to be learned, where it is an answer.
        call_ids: of the calls.
        result_of: ID of the call whose result the text is.
        tools: functions that it puts on offer.
    """

    role: str
    text: str
    calls: tuple[ToolCall, ...] = ()
    learned: bool = True
    call_ids: tuple[str, ...] = ()
    result_of: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()


def read_turns(column: str, turns: Any) -> list[Turn]:
    """The turns that a column holds: a list of {role, content} or {from, value}, its JSON, or two parallel lists.

    Pairs of {input, output}, as XTuner has them, are a question and its answer. System messages that begin it are one,
    and results follow the order of their calls.

    Raises:
        InputError: says which turn is not a role and a text, or has a call that cannot be read.
    """
    if isinstance(turns, str) and turns.lstrip().startswith(("[", "{")):
        turns = parse_literal(turns, column)
    if isinstance(turns, Mapping) and turns and all(isinstance(values, list) for values in turns.values()):
        turns = _as_records(column, turns)
    if not isinstance(turns, list):
        raise InputError(f"{column} is not a list of messages")
    read = [one for position, turn in enumerate(turns) for one in _read_entry(f"{column}[{position}]", turn)]
    return list(_in_order_of_calls(with_one_system(_with_calls_in_one(read))))


def _with_calls_in_one(turns: Sequence[Turn]) -> list[Turn]:
    """The turns, calls that are a turn each behind an answer or another call in that one: they are made together."""
    joined: list[Turn] = []
    for turn in turns:
        before = joined[-1] if joined else None
        is_more = turn.role == "assistant" and not turn.text and bool(turn.calls) and not turn.call_ids
        if before and is_more and before.role == "assistant" and before.learned == turn.learned:
            joined[-1] = replace(before, calls=before.calls + turn.calls)
        else:
            joined.append(turn)
    return joined


def with_one_system(turns: Sequence[Turn]) -> list[Turn]:
    """The turns with all system messages that begin them as one, a blank line between their texts."""
    leading = next((place for place, turn in enumerate(turns) if turn.role != "system"), len(turns))
    if leading < 2:
        return list(turns)
    texts = dict.fromkeys(turn.text for turn in turns[:leading] if turn.text.strip())
    tools = tuple(tool for turn in turns[:leading] for tool in turn.tools)
    return [Turn(role="system", text="\n\n".join(texts), tools=tools), *turns[leading:]]


def _as_records(column: str, lists: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """The records whose fields stand as parallel lists, as older versions of `datasets` keep a list of records."""
    if len({len(values) for values in lists.values()}) > 1:
        lengths = ", ".join(f"{len(values)} of {key!r}" for key, values in lists.items())
        raise InputError(f"{column} holds parallel lists of unequal lengths: {lengths}; give every turn all of them")
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _read_entry(name: str, entry: Any) -> Iterator[Turn]:
    if not isinstance(entry, Mapping):
        raise InputError(f"{name} is not a role and a text")
    if {"input", "output"} <= set(entry) and not {"role", "from"} & set(entry):
        for role, key in (("system", "system"), ("user", "input"), ("assistant", "output")):
            if key != "system" or entry.get(key):
                yield Turn(role=role, text=text_of(entry[key], f"{key} of {name}"), learned=_is_learned(name, entry))
        return
    yield from _read_turn(name, entry)


def _read_turn(name: str, turn: Mapping[str, Any]) -> Iterator[Turn]:
    role, is_call = role_of(turn, f"the role of {name}")
    content = turn["content"] if turn.get("content") is not None else turn.get("value")
    learned = _is_learned(name, turn)
    if role == "assistant":
        _check_thoughts(name, turn)
    if is_call:
        yield Turn(role="assistant", text="", calls=read_calls(content, f"the call in {name}"), learned=learned)
    elif role == "tool":
        yield Turn(role="tool", text=result_text(content), result_of=str(turn.get("tool_call_id") or ""))
    else:
        calls, call_ids = _calls_apart(name, turn)
        # Beside a call there need not be any text.
        contents = read_contents(content or "" if calls else content, f"the content of {name}")
        tools = tuple(tool for key in _OFFERS for tool in read_tools(turn.get(key)))
        spoken = [_spoken(role, one, calls, call_ids, learned=learned) for one in contents]
        yield from (replace(one, tools=tools) for one in spoken)


def _check_thoughts(name: str, turn: Mapping[str, Any]) -> None:
    for key in _THOUGHTS:
        # A switch of that name is none.
        if turn.get(key) and not isinstance(turn[key], bool | int | float):
            raise InputError(
                f"{name} has a thought apart from its text, under {key!r}, which is not learned; remove it to learn "
                "the answer without"
            )


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
    found = turn.get("tool_calls") or turn.get("function_call") or turn.get("function_calls")
    if isinstance(found, str):
        if pythonic := read_pythonic_lines(found):
            return pythonic, ()
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
