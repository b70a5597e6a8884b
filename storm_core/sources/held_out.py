"""What the evaluation data asks and offers, and which examples would give it away."""

import unicodedata
from dataclasses import dataclass, field

from storm_core.records import Example


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Normalised questions and tool names that no training example may hold."""

    questions: set[str] = field(default_factory=set)
    tools: set[str] = field(default_factory=set)

    def add(self, example: Example) -> None:
        """Hold out the last question of an evaluation example, and the tools it offers."""
        questions = [message.content for message in example.messages if message.role == "user"]
        self.questions.add(normalise_question(questions[-1]))
        self.tools.update(example.meta.get("tools", ()))

    def overlap(self, example: Example) -> str | None:
        """Why `example` must be dropped: `held_out_question` or `held_out_tool`; None where it may stay.

        Every user turn counts, since a held-out question is given away in the middle of a conversation too.
        """
        questions = (message.content for message in example.messages if message.role == "user")
        if any(normalise_question(question) in self.questions for question in questions):
            return "held_out_question"
        if not self.tools.isdisjoint(example.meta.get("tools", ())):
            return "held_out_tool"
        return None


def normalise_question(text: str) -> str:
    """The question without differences of case, white space or Unicode composition.

    Canonical caseless matching as the Unicode Standard defines it (section 3.13, D145), then composed.
    """
    folded = unicodedata.normalize("NFD", text).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())
