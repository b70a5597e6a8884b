"""Which examples repeat text of an evaluation: overlap of word n-grams.

The rule is GPT-3's (Brown et al. 2020, appendix C): lower-case words without punctuation; an example that shares one
n-gram with an evaluation item is contaminated; n is 13, and shorter items, down to 8 words, count as a whole. Two parts
of theirs are left out: they cut the n-gram out of long web pages, where one conversation is dropped here, and they let
n-grams pass that more than ten training documents share, which would let a question leak that was copied often enough.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from storm_core.examples.words import Words, join_hashes, ngram_hashes, ngram_hashes_by_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

# GPT-3's smallest n; text of fewer words is common property.
SHORTEST_ITEM_WORDS = 8
# Bits of a hash that the quick test looks at, and a table for them of 16 MB: few that pass are not in the index.
_FILTER_BITS = 24


@dataclass(frozen=True, kw_only=True)
class Match:
    """What an example shares with an evaluation: the evaluation, the place of its first item that has it, the text."""

    evaluation: str
    place: str
    text: str


class EvaluationNgrams:
    """The n-grams of evaluation items, and a search for them."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._items: list[tuple[str, str]] = []
        self._evaluations: dict[str, int] = {}
        self._evaluation_of: list[int] = []
        self._pending: list[tuple[NDArray[np.uint64], int]] = []
        self._lengths: set[int] = set()
        self._known = np.empty(0, dtype=np.uint64)
        self._item_of = np.empty(0, dtype=np.int64)
        self._filter = np.zeros(1 << _FILTER_BITS, dtype=bool)

    def add(self, evaluation: str, place: str, texts: Iterable[Words]) -> None:
        """Index the texts of one item: of each its n-grams, or all of it where it is too short to have any."""
        item = len(self._items)
        self._items.append((evaluation, place))
        self._evaluation_of.append(self._evaluations.setdefault(evaluation, len(self._evaluations)))
        for text in texts:
            length = min(self._length, len(text.words))
            if length >= SHORTEST_ITEM_WORDS:
                self._lengths.add(length)
                self._pending.append((np.unique(ngram_hashes(text.hashes, length)), item))

    def find(self, texts: Sequence[Words]) -> list[Match]:
        """For each evaluation that shares an n-gram with the texts, taken as one, the longest and first; by name."""
        self._build()
        found: dict[str, tuple[str, int, int]] = {}
        for length, hashes_N in ngram_hashes_by_length(join_hashes(texts), self._lengths):
            # Filled from the shortest runs to the longest and from the last to the first: what stays is as promised.
            for position in self._known_positions(hashes_N)[::-1]:
                for evaluation, place in self._items_with(hashes_N[position]):
                    found[evaluation] = place, position, position + length
        words = list(chain.from_iterable(text.words for text in texts)) if found else []
        return [
            Match(evaluation=evaluation, place=place, text=" ".join(words[start:end]))
            for evaluation, (place, start, end) in sorted(found.items())
        ]

    def _known_positions(self, hashes_N: "NDArray[np.uint64]") -> list[int]:
        """Where in the text the n-grams stand that some item has."""
        likely = np.flatnonzero(self._filter[_filter_bits(hashes_N)])
        if not len(likely):
            return []
        nearest = np.searchsorted(self._known, hashes_N[likely]).clip(max=len(self._known) - 1)
        known: list[int] = likely[self._known[nearest] == hashes_N[likely]].tolist()
        return known

    def _items_with(self, ngram: np.uint64) -> list[tuple[str, str]]:
        """The first item of each evaluation that has the n-gram."""
        start = int(np.searchsorted(self._known, ngram, side="left"))
        end = int(np.searchsorted(self._known, ngram, side="right"))
        return [self._items[item] for item in self._item_of[start:end]]

    def _build(self) -> None:
        """Sort what was added since; of the items of one evaluation that have an n-gram, only the first is kept."""
        if not self._pending:
            return
        hashes = [self._known, *(hashes for hashes, _ in self._pending)]
        items = [self._item_of, *(np.full(len(hashes), item, dtype=np.int64) for hashes, item in self._pending)]
        self._pending = []
        known, item_of = np.concatenate(hashes), np.concatenate(items)
        evaluation = np.array(self._evaluation_of)[item_of]
        order = np.lexsort((item_of, evaluation, known))
        known, item_of, evaluation = known[order], item_of[order], evaluation[order]
        repeats = (known[1:] == known[:-1]) & (evaluation[1:] == evaluation[:-1])
        first = np.r_[True, ~repeats]
        self._known, self._item_of = known[first], item_of[first]
        self._filter[_filter_bits(self._known)] = True


def _filter_bits(hashes: "NDArray[np.uint64]") -> "NDArray[np.uint64]":
    return hashes >> np.uint64(64 - _FILTER_BITS)
