"""What a model is given of a conversation by its chat template, and where in it each answer begins and ends.

All that judges, trains and evaluates asks here, so that it gives a model the same text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from storm_core.chat_templates.contents import Span, locate
from storm_core.chat_templates.date import DEFAULT_DATE
from storm_core.chat_templates.readings import Turns, readings
from storm_core.chat_templates.rendering import CHAT_TEMPLATE, UNSTABLE_PREFIX, MisfitError, Renderer
from storm_core.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_Found = TypeVar("_Found")
_THOUGHT_END = "</think>"
_SHOWN_CHARACTERS = 24


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Where an answer is in the text of its conversation, in characters.

    Attributes:
        start: where the model takes over: what the template writes from here on is the model's to write.
        end: behind the last character of the answer's text.
        limit: where the text of the next turn starts, or the end of all.
    """

    start: int
    end: int
    limit: int


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A conversation as the chat template writes it, and its answers, in their order."""

    text: str
    answers: tuple[Answer, ...]


class ChatTemplate:
    """The chat template of one tokenizer, with one date.

    Attributes:
        tells_date: whether it asks for the date.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", date: str = DEFAULT_DATE) -> None:
        self._renderer = Renderer(tokenizer, date)
        self.tells_date = self._renderer.tells_date

    def conversation(self, messages: Sequence[Message]) -> Conversation:
        """The whole conversation, answers included.

        Raises:
            MisfitError: the template refuses it, leaves out the text of a turn, or writes what comes before an answer
                otherwise once the answer follows.
        """
        return _first_that_fits(self._conversation, messages)

    def prompt(self, messages: Sequence[Message]) -> str:
        """The text that a model is to answer, up to where the answer begins.

        Raises:
            MisfitError: the template refuses the messages, or leaves out the text of one.
        """
        return _first_that_fits(self._prompt, messages)

    def beginning(self, messages: Sequence[Message]) -> str:
        """The text up to the end of the last message, an answer that the model is to continue.

        Raises:
            MisfitError: as `conversation`.
        """
        conversation = self.conversation(messages)
        end = conversation.answers[-1].end
        content = messages[-1].content
        after = content[len(content.rstrip()) :]
        return conversation.text[:end] + (after if conversation.text.startswith(after, end) else "")

    def takes(self, messages: Sequence[Message]) -> bool:
        """Whether the template shows the messages in the roles that they have."""
        try:
            self._prompt(tuple(messages))
        except MisfitError:
            return False
        return True

    def _prompt(self, turns: Turns) -> str:
        text, _ = locate(partial(self._renderer.render, prompt=True), turns)
        return text

    def _conversation(self, turns: Turns) -> Conversation:
        # Told not to ask for a thought, a template may deny those that are there.
        thinking = any(turn.role == "assistant" and _THOUGHT_END in turn.content for turn in turns)
        text, spans = locate(partial(self._renderer.render, prompt=False, thinking=thinking), turns)
        limits = [*(span.start for span in spans[1:]), len(text)]
        answers = [
            Answer(start=self._start(turns[:place], text, span, thinking), end=span.end, limit=limit)
            for place, (turn, span, limit) in enumerate(zip(turns, spans, limits, strict=True))
            if turn.role == "assistant"
        ]
        return Conversation(text=text, answers=tuple(answers))

    def _start(self, before: Turns, text: str, span: Span, thinking: bool) -> int:
        """Where the answer begins that `before` leads to and whose text lies at `span`."""
        if not before:
            raise MisfitError(CHAT_TEMPLATE, "the conversation begins with an answer")
        # An answer that is not the last may be written as if the model could have thought.
        for asked in dict.fromkeys((thinking, True)):
            prompt = self._renderer.render(before, prompt=True, thinking=asked)
            if len(prompt) <= span.start and text.startswith(prompt):
                return len(prompt)
        raise MisfitError(
            UNSTABLE_PREFIX,
            "what the chat template writes before an answer is not what it asks for one with, which ends with "
            f"{prompt[-_SHOWN_CHARACTERS:]!r}",
        )


def _first_that_fits(make: Callable[[Turns], _Found], messages: Sequence[Message]) -> _Found:
    """What `make` makes of the first reading of the messages that the template fits.

    Raises:
        MisfitError: it fits none; says what is wrong with the last.
    """
    misfit = MisfitError(CHAT_TEMPLATE, "there are no messages")
    for turns in readings(messages):
        try:
            return make(turns)
        except MisfitError as error:
            misfit = error
    raise misfit
