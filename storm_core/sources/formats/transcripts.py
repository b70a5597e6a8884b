"""Conversations that are one text with the speakers' names in it: Glaive's `chat` and Anthropic's HH-RLHF."""

import re
from collections.abc import Mapping

from storm_core.errors import InputError
from storm_core.sources.formats.turns import Turn

_GLAIVES = {"USER": "user", "ASSISTANT": "assistant", "FUNCTION RESPONSE": "tool", "SYSTEM": "system"}
_ANTHROPICS = {"Human": "user", "Assistant": "assistant"}


def read_glaives_chat(text: str) -> list[Turn]:
    """The turns of Glaive's `chat`, whose speakers are `USER:`, `ASSISTANT:` and `FUNCTION RESPONSE:`.

    Raises:
        InputError: it does not begin with a speaker.
    """
    return _split(text, _GLAIVES, "chat")


def read_anthropics_dialogue(text: str) -> list[Turn] | None:
    """The turns of a text with `Human:` and `Assistant:` after blank lines; None where it begins otherwise."""
    return _split(text, _ANTHROPICS, "the dialogue") if re.match(r"\s*Human:", text) else None


def without_speaker(system: str) -> str:
    """A system message without Glaive's `SYSTEM:` before it."""
    return re.sub(r"\ASYSTEM:\s*", "", system)


def _split(text: str, speakers: Mapping[str, str], name: str) -> list[Turn]:
    # A speaker's name begins a line, and follows a blank one or the mark that ends an answer.
    names = "|".join(map(re.escape, speakers))
    before, *pieces = re.split(rf"(?:\A\s*|\n\s*\n\s*|<\|endoftext\|>\s*)({names}):", text)
    if before.strip() or not pieces:
        raise InputError(f"{name} does not begin with one of {', '.join(f'{speaker}:' for speaker in speakers)}")
    pairs = zip(pieces[::2], pieces[1::2], strict=True)
    return [Turn(role=speakers[speaker], text=said.strip()) for speaker, said in pairs]
