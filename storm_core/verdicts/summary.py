"""What many verdicts on one rubric come to, in memory that does not grow with them.

Shapes. N: verdicts of a batch, K: labels.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from storm_core.verdicts.table import NO_ANSWER_PLACE, VerdictBatch, VerdictReader, Wording

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BINS_PER_VALUE = 4
_MAX_BINS = 40
_ENTROPY_EDGES = np.linspace(0, 1, 21)
# What is summed up, by the column it is a sum of; over answered verdicts alone, and over all.
_ANSWERED_SUMS = ("expected_value", "entropy")
_ALL_SUMS = ("label_mass", "unseen_mass", "truncated")
COLUMNS = ("source", "probabilities", "expected_value", "label_mass", "unseen_mass", "truncated")


class VerdictSummary:
    """Counts and sums over verdicts on one rubric, added batch by batch."""

    def __init__(self, wording: Wording) -> None:
        self.wording = wording
        self.edges = value_edges(wording.values)
        self._counts = np.zeros(len(wording.labels) + 1, np.int64)
        self._expected = np.zeros(len(self.edges) - 1, np.int64)
        self._entropies = np.zeros(len(_ENTROPY_EDGES) - 1, np.int64)
        self._sums = dict.fromkeys((*_ANSWERED_SUMS, *_ALL_SUMS), 0.0)

    def add(self, batch: VerdictBatch) -> None:
        """Count these."""
        places_N = np.where(batch.answered_N, batch.place_N, len(self.wording.labels))
        self._counts += np.bincount(places_N, minlength=len(self._counts)).astype(np.int64)
        expected_N = batch.numbers("expected_value")[batch.answered_N]
        entropy_N = relative_entropy(batch.probability_NK[batch.answered_N])
        # Rounding may put a value a hair outside of its range.
        self._expected += np.histogram(np.clip(expected_N, self.edges[0], self.edges[-1]), bins=self.edges)[0]
        self._entropies += np.histogram(np.clip(entropy_N, 0, 1), bins=_ENTROPY_EDGES)[0]
        sums = {"expected_value": expected_N, "entropy": entropy_N, **{name: batch.numbers(name) for name in _ALL_SUMS}}
        for name, numbers_N in sums.items():
            self._sums[name] += float(numbers_N.sum())

    @property
    def verdicts(self) -> int:
        """How many were added."""
        return int(self._counts.sum())

    @property
    def unanswered(self) -> int:
        """How many of them are without an answer."""
        return int(self._counts[NO_ANSWER_PLACE])

    def numbers(self) -> dict[str, Any]:
        """All of it by name; means over what was answered, or over all; None where there is nothing to take one of."""
        verdicts, answered = self.verdicts, self.verdicts - self.unanswered
        bits = math.log2(len(self.wording.labels))
        return {
            "verdicts": verdicts,
            "labels": dict(zip(self.wording.labels, map(int, self._counts), strict=False)),
            "unanswered": self.unanswered,
            "unanswered_share": share(self.unanswered, verdicts),
            "expected_value_histogram": [int(count) for count in self._expected],
            "mean_expected_value": share(self._sums["expected_value"], answered),
            "entropy_histogram": [int(count) for count in self._entropies],
            "mean_entropy": share(self._sums["entropy"], answered),
            "mean_entropy_bits": share(self._sums["entropy"] * bits, answered),
            "mean_label_mass": share(self._sums["label_mass"], verdicts),
            "mean_unseen_mass": share(self._sums["unseen_mass"], verdicts),
            "truncated": int(self._sums["truncated"]),
            "truncated_share": share(self._sums["truncated"], verdicts),
        }


def summarise(paths: Iterable[Path], reader: VerdictReader | None = None) -> dict[str, dict[str, VerdictSummary]]:
    """Summaries of the verdicts in Parquet files, by rubric and source, both in the order in which they come.

    Raises:
        InputError: see `VerdictReader`.
    """
    reader = reader or VerdictReader(COLUMNS)
    found: dict[str, dict[str, VerdictSummary]] = {}
    for path in paths:
        for batch in reader.read(path):
            sources = found.setdefault(batch.wording.rubric, {})
            for source, rows in rows_by_source(batch):
                sources.setdefault(source, VerdictSummary(batch.wording)).add(batch[rows])
    return found


def total_of(summaries: Iterable[VerdictSummary]) -> VerdictSummary:
    """The summary of all verdicts of one wording that were summarised by source."""
    first, *others = summaries
    total = VerdictSummary(first.wording)
    for summary in (first, *others):
        total._counts += summary._counts
        total._expected += summary._expected
        total._entropies += summary._entropies
        total._sums = {name: value + summary._sums[name] for name, value in total._sums.items()}
    return total


def rows_by_source(batch: VerdictBatch) -> Iterable[tuple[str, "NDArray[np.int64]"]]:
    """The rows of each source in the batch, sources sorted."""
    names_N = batch.texts("source")
    for source in sorted(set(names_N)):
        yield source, np.flatnonzero(names_N == source)


def value_edges(values: Sequence[float]) -> list[float]:
    """Edges of the histogram of expected values, from the lowest value of a label to the highest."""
    low, high = math.floor(min(values)), math.ceil(max(values))
    # A rubric of the user's may count in thousands, or count all labels the same.
    bins = min(max(high - low, 1) * _BINS_PER_VALUE, _MAX_BINS)
    return [float(edge) for edge in np.linspace(low, max(high, low + 1), bins + 1)]


def relative_entropy(probability_NK: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Entropy of each row's K probabilities over log K: 0 where one is certain, 1 where all are equal; shape (N,)."""
    count = probability_NK.shape[1]
    logarithms = np.log(probability_NK, where=probability_NK > 0, out=np.zeros_like(probability_NK))
    entropy_N: NDArray[np.float64] = -(probability_NK * logarithms).sum(axis=1)
    return entropy_N / math.log(count) if count > 1 else entropy_N


def share(part: float, whole: float) -> float | None:
    """The part of the whole; None of nothing."""
    return part / whole if whole else None
