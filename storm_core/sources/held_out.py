"""What the evaluation data asks and offers, and which examples would give it away."""

import unicodedata
from collections.abc import Sequence

from storm_core.records import Example
from storm_core.sources.contamination import EvaluationNgrams, Match
from storm_core.sources.words import Words


class HeldOut:
    """Questions, tools and runs of words that no training example may hold, and where each comes from."""

    def __init__(self, ngram_words: int) -> None:
        self._questions: dict[str, tuple[str, str]] = {}
        self._tools: dict[str, tuple[str, str]] = {}
        self._ngrams = EvaluationNgrams(ngram_words)

    def add(self, evaluation: str, example: Example, texts: Sequence[Words]) -> None:
        """Hold out the last question of an evaluation item, the tools it offers, and the n-grams of its turns.

        Args:
            evaluation: the name of the set.
            example: the item; its meta says where it stands.
            texts: the words of each message. Those of the system are left out: instructions and lists of tools are
                shared by a whole evaluation, and with everything else in its format.
        """
        item = (evaluation, str(example.meta["place"]))
        questions = [message.content for message in example.messages if message.role == "user"]
        self._questions.setdefault(normalise_question(questions[-1]), item)
        for tool in example.meta.get("tools", ()):
            self._tools.setdefault(tool, item)
        turns = zip(example.messages, texts, strict=True)
        self._ngrams.add(*item, [words for message, words in turns if message.role != "system"])

    def overlap(self, example: Example, texts: Sequence[Words]) -> tuple[str, list[Match]] | None:
        """Why `example` must be dropped, and what it shares with which evaluations; None where it may stay.

        The reason is `held_out_question`, `held_out_tool` or `contaminated`, the first that applies. Every message
        counts, since a question is given away in the middle of a conversation, or by the system, too.
        """
        for message in example.messages:
            if message.role == "user" and (item := self._questions.get(normalise_question(message.content))):
                return "held_out_question", [_match(item, message.content)]
        for tool in example.meta.get("tools", ()):
            if item := self._tools.get(tool):
                return "held_out_tool", [_match(item, tool)]
        matches = self._ngrams.find(texts)
        return ("contaminated", matches) if matches else None


def normalise_question(text: str) -> str:
    """The question without differences of case, white space or Unicode composition.

    Canonical caseless matching as the Unicode Standard defines it (section 3.13, D145), then composed.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFD", text).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def _match(item: tuple[str, str], text: str) -> Match:
    evaluation, place = item
    return Match(evaluation=evaluation, place=place, text=text)
