"""What many verdicts come to, in memory that does not grow with them.

Shapes. N: verdicts of a batch, K: labels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from storm_core.curation.audit.sampling import Keys, NumberSample
from storm_core.curation.audit.statistics import mean_by_group, spearman
from storm_core.reporting.verdict_statistics import relative_entropy

NO_LABEL = -1
_BINS_PER_VALUE = 4
_ENTROPY_EDGES = np.linspace(0, 1, 21)
# Beyond so many verdicts of a source the rank correlation is a sample's; its standard error, 1/sqrt(n), is 0.003.
_LENGTH_SAMPLE = 100_000
_LENGTH_GROUPS = 10


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Verdicts of one rubric as arrays.

    Attributes:
        keys: of the examples; see `sampling`.
        places_N: of the label given, or `NO_LABEL`.
    """

    keys: Keys
    places_N: npt.NDArray[np.int64]  # noqa: N815 (shape suffix)
    probabilities_NK: npt.NDArray[np.float64]  # noqa: N815
    expected_N: npt.NDArray[np.float64]  # noqa: N815
    label_mass_N: npt.NDArray[np.float64]  # noqa: N815
    unseen_mass_N: npt.NDArray[np.float64]  # noqa: N815
    tokens_N: npt.NDArray[np.float64]  # noqa: N815
    truncated_N: npt.NDArray[np.bool_]  # noqa: N815

    def __getitem__(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "Columns":
        return Columns(**{name: column[rows] for name, column in vars(self).items()})


class Tally:
    """Counts and sums over verdicts of one rubric, added batch by batch."""

    def __init__(self, labels: Sequence[str], edges: Sequence[float]) -> None:
        self._labels = tuple(labels)
        self._edges = np.asarray(edges)
        self._counts = np.zeros(len(labels) + 1, np.int64)
        self._expected = np.zeros(len(edges) - 1, np.int64)
        self._entropies = np.zeros(len(_ENTROPY_EDGES) - 1, np.int64)
        self._sums = dict.fromkeys(("expected", "entropy", "label_mass", "unseen_mass", "truncated"), 0.0)
        self._lengths = NumberSample(_LENGTH_SAMPLE)

    def add(self, columns: Columns) -> None:
        """Count these."""
        answered = columns[columns.places_N != NO_LABEL]
        self._counts += self._count(columns)
        # Rounding may put a value a hair outside of its range.
        clipped = np.clip(answered.expected_N, self._edges[0], self._edges[-1])
        self._expected += np.histogram(clipped, bins=self._edges)[0]
        entropy_N = relative_entropy(answered.probabilities_NK)
        self._entropies += np.histogram(np.clip(entropy_N, 0, 1), bins=_ENTROPY_EDGES)[0]
        self._sums["expected"] += float(answered.expected_N.sum())
        self._sums["entropy"] += float(entropy_N.sum())
        self._sums["label_mass"] += float(columns.label_mass_N.sum())
        self._sums["unseen_mass"] += float(columns.unseen_mass_N.sum())
        self._sums["truncated"] += float(columns.truncated_N.sum())
        self._lengths.offer(answered.keys, answered.tokens_N, answered.expected_N)

    @property
    def verdicts(self) -> int:
        """How many were added."""
        return int(self._counts.sum())

    def length_correlation(self) -> float | None:
        """Spearman's, of the example's length in tokens and the expected value."""
        return spearman(*self._lengths.pairs())

    def mean_by_length(self) -> list[dict[str, float]]:
        """Mean expected value of each tenth of the examples by length in tokens."""
        return mean_by_group(*self._lengths.pairs(), groups=_LENGTH_GROUPS)

    def summary(self) -> dict[str, Any]:
        """All of it by name; means are over what was answered, and None where nothing was."""
        verdicts, unanswered = self.verdicts, int(self._counts[-1])
        answered = verdicts - unanswered
        return {
            "verdicts": verdicts,
            "labels": dict(zip(self._labels, map(int, self._counts), strict=False)),
            "unanswered": unanswered,
            "unanswered_share": _share(unanswered, verdicts),
            "expected_value_histogram": [int(count) for count in self._expected],
            "mean_expected_value": _share(self._sums["expected"], answered),
            "entropy_histogram": [int(count) for count in self._entropies],
            "mean_entropy": _share(self._sums["entropy"], answered),
            "mean_entropy_bits": _share(self._sums["entropy"] * math.log2(len(self._labels)), answered),
            "mean_label_mass": _share(self._sums["label_mass"], verdicts),
            "mean_unseen_mass": _share(self._sums["unseen_mass"], verdicts),
            "truncated": int(self._sums["truncated"]),
            "truncated_share": _share(self._sums["truncated"], verdicts),
            "length_correlation": self.length_correlation(),
            "mean_by_length": self.mean_by_length(),
        }

    def _count(self, columns: Columns) -> npt.NDArray[np.int64]:
        """Of each label, and at the end of none."""
        places_N = np.where(columns.places_N == NO_LABEL, len(self._labels), columns.places_N)
        counts: npt.NDArray[np.int64] = np.bincount(places_N, minlength=len(self._counts)).astype(np.int64)
        return counts


def value_edges(values: Sequence[float]) -> list[float]:
    """Edges of the histogram of expected values, from the lowest value of a label to the highest."""
    low, high = math.floor(min(values)), math.ceil(max(values))
    # A rubric of the user's may count in thousands, or count all labels the same.
    bins = min(max(high - low, 1) * _BINS_PER_VALUE, 40)
    return [float(edge) for edge in np.linspace(low, max(high, low + 1), bins + 1)]


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
