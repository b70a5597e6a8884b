"""Chat templates, changed: every turn's text is in what the model is given, or the template is refused in a line."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from storm_core.chat_templates import rendering
from storm_core.chat_templates.answer_tokens import AnswerTokens
from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.chat_templates.rendering import MisfitError
from storm_core.chat_templates.telling import tell_readings
from storm_core.records import Message
from tests.chat_templates.templates import Quirks, tokenizer_with
from tests.checkpoints.families import FAMILIES
from tests.fuzzing.readers import Reader, fuzz, times
from tests.fuzzing.template_pieces import mutate_template

# As examples have them; no text is part of another.
_TURNS = {
    "system": "You answer like a pirate.",
    "user": "Which way is north?",
    "assistant": "Where the needle points.",
    "tool": '{"needle": 17}',
}
_AGAIN = {"user": "And south,\n\nplease?", "assistant": "  The other way  "}


def turns(*roles: str) -> tuple[Message, ...]:
    """A conversation in these roles; who speaks twice says something else."""
    texts = [_AGAIN[role] if role in roles[:place] else _TURNS[role] for place, role in enumerate(roles)]
    return tuple(Message(role=role, content=text) for role, text in zip(roles, texts, strict=True))


CONVERSATIONS = (
    turns("user", "assistant"),
    turns("system", "user", "assistant", "user", "assistant"),
    turns("user", "assistant", "tool", "assistant"),
)


def sources(_: Path) -> Sequence[str]:
    """The families' templates, and some with quirks of others."""
    quirks = (
        Quirks(system="user", tool="user", trims=True, alternates=True),
        Quirks(thoughts="asked", date=True, bos=True),
        Quirks(thoughts="stripped", end="twice", special=False),
        Quirks(system="refused", tool="refused", closes=True, end="eos"),
    )
    families = dict.fromkeys(family.template for family in FAMILIES.values())
    return [*families, *(one.template() for one in quirks)]


def reader_of(tokenizer: Any) -> Callable[[str, Path], None]:
    """What judge and training do with a template."""

    def read(source: str, place: Path) -> None:
        tokenizer.chat_template = source
        template = ChatTemplate(tokenizer)
        tell_readings(template)
        tokens = AnswerTokens(tokenizer, template)
        refusals = [refusal for one in CONVERSATIONS if (refusal := refusal_of(template, tokens, tokenizer, one))]
        if len(refusals) == len(CONVERSATIONS):
            raise refusals[0]

    return read


def refusal_of(
    template: ChatTemplate, tokens: AnswerTokens, tokenizer: Any, messages: Sequence[Message]
) -> MisfitError | None:
    """Why the template does not fit the conversation; where it does, all of it was found in what it writes."""
    try:
        prompt = template.prompt(messages[:-1])
        conversation = template.conversation(messages)
        ids, answers = tokens.tokenize(conversation)
    except MisfitError as error:
        return error
    assert all(message.content.strip() in prompt for message in messages[:-1]), prompt
    assert all(message.content.strip() in conversation.text for message in messages), conversation.text
    said = [message.content.strip() for message in messages if message.role == "assistant"]
    taught = [tokenizer.decode(ids[answer.start : answer.stop]) for answer in answers]
    assert len(taught) == len(said)
    assert all(text in learned for text, learned in zip(said, taught, strict=True)), taught
    return None


@times
def test_changed_template_says_everything_or_is_refused(
    times: int, tmp_path: Path, tiny_tokenizer_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "SECONDS", 0.5)  # A few of the changes make loops that end in years.
    tokenizer: Any = tokenizer_with(tiny_tokenizer_directory, "")
    tokenizer.add_tokens(list(dict.fromkeys(token for family in FAMILIES.values() for token in family.control)))
    reader = Reader(name="template", valid=sources, mutate=mutate_template, read=reader_of(tokenizer), inputs=190)
    fuzz(reader, times, tmp_path)
