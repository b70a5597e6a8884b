"""What the evaluation data asks and offers, and which examples would give it away."""

from collections.abc import Sequence

from storm_core.examples.words import WordHashes, Words, fold, words_of
from storm_core.records import Example
from storm_core.sources.decontamination.overlap import EvaluationNgrams, Match
from storm_core.sources.files.rows import QUESTIONS, TEXTS


class HeldOut:
    """Questions, tools and runs of words that no training example may hold, and where each comes from."""

    def __init__(self, ngram_words: int, hashes: WordHashes) -> None:
        self._hashes = hashes
        self._questions: dict[str, tuple[str, str]] = {}
        self._tools: dict[str, tuple[str, str]] = {}
        self._ngrams = EvaluationNgrams(ngram_words)

    def add(self, evaluation: str, example: Example) -> None:
        """Hold out what an item of the set `evaluation` asks, the tools it offers, and the n-grams of its texts.

        It asks its last question, and those that its meta lists under `QUESTIONS`. Its texts are its turns, and those
        under `TEXTS`. The system's is not among them: instructions and lists of tools are shared by a whole evaluation,
        and with everything else in its format.
        """
        item = (evaluation, str(example.meta["place"]))
        *_, question = (message.content for message in example.messages if message.role == "user")
        for asked in (question, *example.meta.get(QUESTIONS, ())):
            self._questions.setdefault(normalise_question(asked), item)
        for tool in example.meta.get("tools", ()):
            self._tools.setdefault(tool, item)
        turns = [message.content for message in example.messages if message.role != "system"]
        texts = dict.fromkeys([*turns, *example.meta.get(TEXTS, ())])
        self._ngrams.add(*item, map(self._hashes.split, texts))

    def overlap(self, example: Example, texts: Sequence[Words]) -> tuple[str, list[Match]] | None:
        """Why `example` must be dropped, and what it shares with which evaluations; None where it may stay.

        The reason is `held_out_question`, `held_out_tool` or `contaminated`, the first that applies. Every message
        counts, since a question is given away in the middle of a conversation, or by the system, too.
        """
        for message, words in zip(example.messages, texts, strict=True):
            if message.role == "user" and (item := self._questions.get(_question(message.content, words.words))):
                return "held_out_question", [_match(item, message.content)]
        for tool in example.meta.get("tools", ()):
            if item := self._tools.get(tool):
                return "held_out_tool", [_match(item, tool)]
        matches = self._ngrams.find(texts)
        return ("contaminated", matches) if matches else None


def normalise_question(text: str) -> str:
    """The words of the question; of one that has none, what else it is written with."""
    return _question(text, words_of(text))


def _question(text: str, words: Sequence[str]) -> str:
    return " ".join(words or fold(text).split())


def _match(item: tuple[str, str], text: str) -> Match:
    evaluation, place = item
    return Match(evaluation=evaluation, place=place, text=text)
