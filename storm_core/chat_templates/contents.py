"""Where in a rendered conversation the text of each turn is; a turn whose text is not in it is an error.

The turns are rendered a second time with marks around their texts. Where a template decides by what a text says, marks
may change that: the texts are then looked for, one after the other.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from storm_core.chat_templates.rendering import LEFT_OUT, MisfitError
from storm_core.records import Message

# Unicode's noncharacters: no text has them, and no template changes them.
_MARK = re.compile("([\ufdd0\ufdd2])(\\d+)[\ufdd1\ufdd3]")
_MARK_CHARACTERS = re.compile("[\ufdd0-\ufdd3]")
# Templates write thoughts with white space of their own.
_THOUGHT = re.compile(r"\s*(</?think>)\s*")


@dataclass(frozen=True)
class Span:
    """From character `start` up to, but not including, `end`."""

    start: int
    end: int


def locate(render: Callable[[Sequence[Message]], str], turns: Sequence[Message]) -> tuple[str, list[Span]]:
    """The rendered turns, and where in that each turn's text is, without the white space around it.

    Raises:
        MisfitError: the text of a turn is not there, or the template refuses the turns.
    """
    text = render(turns)
    wanted = [number for number, turn in enumerate(turns) if turn.content.strip()]
    if any(_MARK_CHARACTERS.search(turn.content) for turn in turns):
        return text, _search(text, turns, {})
    marked, starts, ends = _read_marks(render(_with_marks(turns, wanted)))
    for number in wanted:
        if number not in starts and number not in ends:
            raise _left_out(number, turns[number])
    whole = [number for number in wanted if number in starts and number in ends]
    if len(whole) < len(wanted):
        # Of turns whose marks are changed, the texts are looked for between the others.
        marked, starts, ends = _read_marks(render(_with_marks(turns, whole)))
    found = {number: Span(starts[number], ends[number]) for number in whole if number in starts and number in ends}
    return text, _search(text, turns, found if marked == text else {})


def _with_marks(turns: Sequence[Message], numbers: Sequence[int]) -> list[Message]:
    return [_marked(turn, number) if number in numbers else turn for number, turn in enumerate(turns)]


def _marked(turn: Message, number: int) -> Message:
    """The turn with marks inside the white space around its text, which a template may cut off."""
    text = turn.content.strip()
    before, _, after = turn.content.partition(text)
    return Message(role=turn.role, content=f"{before}\ufdd0{number}\ufdd1{text}\ufdd2{number}\ufdd3{after}")


def _read_marks(marked: str) -> tuple[str, dict[int, int], dict[int, int]]:
    """The text without marks, and by a turn's number where in that its text starts and ends."""
    pieces: list[str] = []
    places: tuple[dict[int, int], dict[int, int]] = ({}, {})
    length = read = 0
    for mark in _MARK.finditer(marked):
        pieces.append(marked[read : mark.start()])
        length += mark.start() - read
        read = mark.end()
        places[mark[1] == "\ufdd2"].setdefault(int(mark[2]), length)
    return "".join((*pieces, marked[read:])), *places


def _search(text: str, turns: Sequence[Message], found: Mapping[int, Span]) -> list[Span]:
    """Where the texts of the turns are: as `found` by marks, or else behind that of the turn before, in no other."""
    spans: list[Span] = []
    read = 0
    for number, turn in enumerate(turns):
        spellings = _spellings(turn)
        limit = min((other.start for other in found.values() if other.start >= read), default=len(text))
        span = found.get(number) or _find(spellings, text, read, limit)
        if span is None or (number in found and text[span.start : span.end] not in spellings):
            raise _left_out(number, turn)
        spans.append(span)
        read = span.end
    return spans


def _spellings(turn: Message) -> list[str]:
    """How the text of the turn may be written; Llama 3.1's template writes what tools answer as a string of JSON.

    An answer is what the model is to write, so that has to be there as it is.
    """
    content = turn.content.strip()
    return [content] if turn.role == "assistant" else [content, json.dumps(content, ensure_ascii=False)[1:-1]]


def _find(spellings: Sequence[str], text: str, start: int, end: int) -> Span | None:
    matches = (_pattern(spelling).search(text, start, end) for spelling in spellings)
    return next((Span(match.start(), match.end()) for match in matches if match), None)


def _pattern(text: str) -> re.Pattern[str]:
    pieces = [re.escape(piece) for piece in _THOUGHT.split(text)]
    for place in range(1, len(pieces), 2):
        pieces[place] = rf"\s*{pieces[place]}\s*"
    return re.compile("".join(pieces).removeprefix(r"\s*").removesuffix(r"\s*"))


def _left_out(number: int, turn: Message) -> MisfitError:
    return MisfitError(LEFT_OUT, f"the chat template leaves out the text of turn {number}, which is the {turn.role}'s")
