"""ToolACE's offer, which Llama's prompts have too: a sentence, the functions as JSON, and how to write calls."""

import json
import re
from collections.abc import Mapping
from typing import Any

from storm_core.errors import InputError
from storm_core.sources.formats.call_spellings import read_tools

_OFFER = re.compile(r"Here is a list of functions in JSON format that you can (?:invoke|use)[.:]?\s*")
# The recipe's prompt says how a call is written.
_FORMAT = re.compile(
    r"^[ \t]*(?:(?:Should|If) you decide to (?:return|invoke) .*|(?:You MUST )?[Pp]ut it in the format of .*|"
    r"NO other text MUST be included.*|You SHOULD NOT include any other text.*)$",
    re.MULTILINE,
)


def read_tool_definitions(system: str) -> tuple[list[Mapping[str, Any]], str] | None:
    """The functions behind the sentence, and the message without both; None where there is no such sentence.

    Raises:
        InputError: what follows the sentence is no list of functions.
    """
    offer = _OFFER.search(system)
    if not offer or not system.startswith(("[", "{"), offer.end()):
        return None
    try:
        value, end = json.JSONDecoder(strict=False).raw_decode(system, offer.end())
        tools = read_tools(value)
    except (ValueError, RecursionError) as error:
        raise InputError("what follows the offer of functions in JSON format cannot be read") from error
    after = _FORMAT.sub("", system[end:].removeprefix("."))
    return tools, "\n\n".join(filter(None, [system[: offer.start()].strip(), after.strip()]))
