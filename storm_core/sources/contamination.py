"""Which examples repeat text of an evaluation: overlap of word n-grams.

The rule is GPT-3's (Brown et al. 2020, appendix C): lower-case words without punctuation; an example that shares one
n-gram with an evaluation item is contaminated; n is 13, and shorter items, down to 8 words, count as a whole. Two parts
of theirs are left out: they cut the n-gram out of long web pages, where one conversation is dropped here, and they let
n-grams pass that more than ten training documents share, which would let a question leak that was copied often enough.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from storm_core.sources.words import Words, ngram_hashes

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
        self._pending: list[tuple[NDArray[np.uint64], int]] = []
        self._lengths: set[int] = set()
        self._known = np.empty(0, dtype=np.uint64)
        self._item_of = np.empty(0, dtype=np.int64)
        self._filter = np.zeros(1 << _FILTER_BITS, dtype=bool)

    def add(self, evaluation: str, place: str, texts: Iterable[Words]) -> None:
        """Index the texts of one item: of each its n-grams, or all of it where it is too short to have any."""
        item = len(self._items)
        self._items.append((evaluation, place))
        for text in texts:
            length = min(self._length, len(text.words))
            if length >= SHORTEST_ITEM_WORDS:
                self._lengths.add(length)
                self._pending.append((np.unique(ngram_hashes(text.hashes, length)), item))

    def find(self, texts: Iterable[Words]) -> list[Match]:
        """For each evaluation that shares an n-gram with one of the texts, the first that it shares; by evaluation."""
        self._build()
        matches: dict[str, Match] = {}
        for text in texts:
            for length in sorted(self._lengths, reverse=True):
                self._find_length(text, length, matches)
        return sorted(matches.values(), key=lambda match: match.evaluation)

    def _find_length(self, text: Words, length: int, matches: dict[str, Match]) -> None:
        hashes_N = ngram_hashes(text.hashes, length)
        for position in np.flatnonzero(self._filter[_filter_bits(hashes_N)]):
            start = np.searchsorted(self._known, hashes_N[position], side="left")
            end = np.searchsorted(self._known, hashes_N[position], side="right")
            for item in self._item_of[start:end]:
                evaluation, place = self._items[item]
                ngram = " ".join(text.words[position : position + length])
                matches.setdefault(evaluation, Match(evaluation=evaluation, place=place, text=ngram))

    def _build(self) -> None:
        """Sort what was added since; equal n-grams stay in the order of their items."""
        if not self._pending:
            return
        hashes = [self._known, *(hashes for hashes, _ in self._pending)]
        items = [self._item_of, *(np.full(len(hashes), item, dtype=np.int64) for hashes, item in self._pending)]
        self._pending = []
        known, item_of = np.concatenate(hashes), np.concatenate(items)
        order = np.argsort(known, kind="stable")
        self._known, self._item_of = known[order], item_of[order]
        self._filter[_filter_bits(self._known)] = True


def _filter_bits(hashes: "NDArray[np.uint64]") -> "NDArray[np.uint64]":
    return hashes >> np.uint64(64 - _FILTER_BITS)
