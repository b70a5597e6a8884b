"""What is Glaive's own in its conversations: the sentence that offers functions, the tag of a call, the end mark."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from storm_core.errors import InputError
from storm_core.sources.formats.call_spellings import read_tools
from storm_core.sources.formats.turns import Turn

CALL_TAG = "<functioncall>"
END_MARK = "<|endoftext|>"
OFFER = "access to the following functions"
_NO_OFFER = "with no access to external functions"
# No more than Glaive's own words may stand between the sentence and the functions, or other instructions would be lost.
# Possessive, so that a long run of white space is passed once.
_WHOLE_OFFER = re.compile(
    OFFER
    + r"(?: to help the user, you can use the functions if needed)?[.:]?\s*+"
    + r"(?:Use them if required\b)?[.:]?\s*+[-\u2013\u2014]?\s*+(?=[\[{])"
)
# Beginnings of a sentence that says nothing but the offer.
_BEGINNINGS = ("You are a helpful assistant with ", "You are an helpful assistant who has ", "You have ")
_NEXT_VALUE = re.compile(r"[\s,]*+(?=[\[{])")


def is_glaives(turns: Sequence[Turn]) -> bool:
    """Whether the conversation is spelled as Glaive's are, by its system message or by a call in it."""
    return any(
        OFFER in turn.text or _NO_OFFER in turn.text if turn.role == "system" else CALL_TAG in turn.text
        for turn in turns
        if turn.role in ("system", "assistant")
    )


def without_end_mark(turn: Turn) -> Turn:
    """The turn without the mark that Glaive leaves at the end of an answer."""
    text = turn.text.rstrip()
    if turn.role != "assistant" or not text.endswith(END_MARK):
        return turn
    return replace(turn, text=text.removesuffix(END_MARK).rstrip())


def read_tool_definitions(system: str) -> tuple[list[Mapping[str, Any]], str] | None:
    """The functions that stand behind Glaive's sentence, one by one or as a list, and the message without the two.

    None where there is no such sentence, or not all that follows it can be read. Of a sentence that says more than the
    offer it stays that there are functions.
    """
    offer = _WHOLE_OFFER.search(system)
    before = _text_before(system[: offer.start()]) if offer else None
    if offer is None or before is None:
        return None
    try:
        tools, end = _read_functions(system, offer.end())
    except (ValueError, RecursionError):
        # Half an offer would leave out functions that are called.
        return None
    return (tools, (before.rstrip() + system[end:].removeprefix(".")).strip()) if tools else None


def _text_before(lead: str) -> str | None:
    """What stays of the text that leads to an offer, in whole sentences; None where it is not made to the assistant."""
    for beginning in _BEGINNINGS:
        before = lead.removesuffix(beginning)
        if before != lead and (not before or before.endswith("\n") or before.rstrip().endswith((".", "!", "?"))):
            return before
    line = lead.rpartition("\n")[2]
    if line.endswith((" with ", " have ")) and "you " in line.lower():
        return f"{lead}access to functions."
    return None


def _read_functions(system: str, start: int) -> tuple[list[Mapping[str, Any]], int]:
    """The functions from `start` on, and where they end.

    Raises:
        ValueError: what stands there is not JSON, or not all of it describes functions.
    """
    tools: list[Mapping[str, Any]] = []
    end = start
    while following := _NEXT_VALUE.match(system, end):
        value, end = json.JSONDecoder(strict=False).raw_decode(system, following.end())
        tools += read_tools(value)
    if not all("description" in tool or "parameters" in tool for tool in tools):
        raise InputError("what follows the offer has a name but describes no function")
    return tools, end
