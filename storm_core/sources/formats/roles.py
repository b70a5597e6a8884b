"""Who speaks in a turn, by whichever name a data set has for them."""

from collections.abc import Mapping
from typing import Any

from storm_core.errors import InputError
from storm_core.sources.formats.contents import text_of

# ShareGPT's names for the roles of `storm_core.records.ROLES`, and those that its descendants, OpenAssistant, FastChat
# and the makers of models have added.
_ROLES = {
    "human": "user",
    "prompter": "user",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "developer": "system",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "tool_result": "tool",
    "observation": "tool",
    "environment": "tool",
    "ipython": "tool",
}
# Turns of the assistant that hold nothing but a call.
_CALL_ROLES = ("function_call", "tool_call", "tool_calls")


def role_of(turn: Mapping[str, Any], name: str) -> tuple[str, bool]:
    """The role of a turn, and whether all that it holds is a call.

    Raises:
        InputError: there is none, or it is no name; `name` says of which turn.
    """
    given = next((turn[key] for key in ("role", "from") if turn.get(key) not in (None, "")), None)
    if isinstance(given, int | float):
        raise InputError(
            f"{name} is {given!r} and not its name; where it is a ClassLabel of `datasets`, write its names"
        )
    spelled = text_of(given, name)
    known = spelled.strip().lower().replace("-", "_")
    if known in _CALL_ROLES:
        return "assistant", True
    return _ROLES.get(known, known), False
