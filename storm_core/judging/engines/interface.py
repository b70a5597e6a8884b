"""The one interface of every engine: label probabilities for a batch of prompts, example first, questions last.

An engine reads a batch of contexts once, and answers one question after the other about them. What the contexts have
cost is not paid again for the second question, as far as the engine can help it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from storm_core.errors import InputError
from storm_core.judging.wording.prompts import Context, Question


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a judge says to one question about one context.

    Attributes:
        probabilities: of each label, in the rubric's order; they sum to 1. All are 0 where the engine saw no label, or
            the judge's server did not take the context.
        label_mass: probability of the labels together among the whole vocabulary, 0 to 1, of those the engine saw.
        unseen_mass: at most this much probability, of the whole vocabulary, lies on labels that the engine did not see
            and that therefore count as 0 in `probabilities`; 0 where it sees every label.
        instead: what the judge begins with where the engine saw no label; "" where it did, or where nothing was said.
    """

    probabilities: tuple[float, ...]
    label_mass: float
    unseen_mass: float = 0.0
    instead: str = ""

    @property
    def is_answer(self) -> bool:
        """Whether there is a label."""
        return any(self.probabilities)


class StoppedError(InputError):
    """An engine failed at some contexts of a reading, for good.

    Attributes:
        answers: about the others, in the order of the contexts; None where there is none.
    """

    def __init__(self, message: str, answers: Sequence[Answer | None]) -> None:
        super().__init__(message)
        self.answers = answers


class Reading(Protocol):
    """Contexts that an engine has read."""

    def ask(self, question: Question) -> list[Answer]:
        """The answer about each context, in their order. Any number of questions may be asked.

        Raises:
            StoppedError: it fails at some of them; it has the answers about the others.
        """

    def keep(self, rows: Sequence[int]) -> "Reading":
        """The same reading for these rows alone. The one it is taken from must not be asked any more."""


class Engine(Protocol):
    """Something that answers questions about contexts.

    Attributes:
        window: most tokens of a prompt, context and question together; None where no limit is known.
        pads: whether the contexts of a batch cost as much as the longest of them, so that a batch should hold contexts
            of similar length.
        room: tokens of prompts, contexts and questions together, that it keeps from one question to the next; of a
            larger batch it would compute contexts again. None where no limit is known.
    """

    window: int | None
    pads: bool
    room: int | None

    def read(self, contexts: Sequence[Context]) -> Reading:
        """Read a batch of contexts, at least one."""
