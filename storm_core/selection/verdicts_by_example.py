"""The verdicts by example, as columns: what the selection needs of millions of verdicts, and no more.

M: examples. V: verdicts of one batch.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from storm_core.errors import InputError
from storm_core.examples.index import ExampleIndex, binary_ids, hexadecimal
from storm_core.verdicts.schema import DIFFICULTY, EDUCATIONAL_VALUE
from storm_core.verdicts.table import NO_ANSWER_PLACE, RUBRICS, VerdictBatch, VerdictReader

if TYPE_CHECKING:
    from numpy.typing import NDArray

# In the place of a label's position: the judge gave none of the labels, or was not asked.
UNANSWERED = NO_ANSWER_PLACE
UNASKED = -2
_COLUMNS = ("id", "expected_value")


@dataclass(frozen=True, kw_only=True)
class RubricVerdicts:
    """What the judge answered to one rubric.

    Attributes:
        labels: the allowed answers; none where nobody was asked.
        values: what each label counts.
        label_M: position of the answer in `labels`, or `UNASKED`, or `UNANSWERED`.
        expected_M: expected value; 0 where there is no answer.
    """

    labels: tuple[str, ...]
    values: tuple[float, ...]
    label_M: "NDArray[np.int16]"  # noqa: N815 (shape suffix)
    expected_M: "NDArray[np.float64]"  # noqa: N815 (shape suffix)

    def numbers(self) -> "NDArray[np.float64]":
        """What each answer counts, (M,); NaN where there is none."""
        values = np.array([*self.values, np.nan, np.nan])
        return values[self.label_M]


@dataclass(frozen=True, kw_only=True)
class VerdictsByExample:
    """The verdicts on both rubrics; every example has been asked for its educational value."""

    educational_value: RubricVerdicts
    difficulty: RubricVerdicts


def read_by_example(index: ExampleIndex, paths: Iterable[Path]) -> VerdictsByExample:
    """The verdicts in the files `paths`, in any order.

    Raises:
        InputError: see `VerdictReader`; an example without educational value verdict, two verdicts for one question, or
            a verdict on an unknown example: names counts and one example.
    """
    gathering = _Gathering(index)
    for path in paths:
        for batch in gathering.reader.read(path):
            gathering.add(batch, path)
    return gathering.finish()


@dataclass
class _Offenders:
    """How many verdicts there are of one bad kind, and about which example the first is."""

    count: int = 0
    first: str = ""

    def add(self, ids: "NDArray[np.bytes_]") -> None:
        if len(ids) and not self.count:
            self.first = hexadecimal(ids[0])
        self.count += len(ids)

    def refuse(self, problem: str) -> None:
        if self.count:
            raise InputError(f"{self.count} {problem} (one is {self.first})")


class _Gathering:
    """Puts verdicts in their places, batch by batch, and remembers what is wrong with them."""

    def __init__(self, index: ExampleIndex) -> None:
        self.reader = VerdictReader(_COLUMNS)
        self._index = index
        size = len(index)
        self._label_M = {rubric: np.full(size, UNASKED, dtype=np.int16) for rubric in RUBRICS}
        self._expected_M = {rubric: np.zeros(size, dtype=np.float64) for rubric in RUBRICS}
        self._foreign = _Offenders()
        self._repeated = _Offenders()

    def add(self, batch: VerdictBatch, path: Path) -> None:
        """Take the verdicts of one batch."""
        label_M, expected_M = self._label_M[batch.wording.rubric], self._expected_M[batch.wording.rubric]
        ids_V = binary_ids(batch.table["id"], path)
        positions_V = self._index.find(ids_V)
        self._foreign.add(ids_V[positions_V < 0])
        known = np.flatnonzero(positions_V >= 0)
        _, first = np.unique(positions_V[known], return_index=True)
        fresh = known[first]
        fresh = fresh[label_M[positions_V[fresh]] == UNASKED]
        self._repeated.add(ids_V[np.setdiff1d(known, fresh)])
        places = positions_V[fresh]
        label_M[places] = batch.place_N[fresh]
        expected_M[places] = batch.numbers("expected_value")[fresh]

    def finish(self) -> VerdictsByExample:
        """All of them, once nothing is wrong with them."""
        self._foreign.refuse("verdicts are about examples that are not among these; give the examples that were scored")
        self._repeated.refuse("verdicts repeat an answer that is there already; give each verdicts artifact once")
        missing = _Offenders()
        missing.add(self._index.ids_M[self._label_M[EDUCATIONAL_VALUE] == UNASKED])
        missing.refuse("examples have no educational value verdict; give the verdicts of every shard")
        return VerdictsByExample(
            educational_value=self._verdicts(EDUCATIONAL_VALUE), difficulty=self._verdicts(DIFFICULTY)
        )

    def _verdicts(self, rubric: str) -> RubricVerdicts:
        wording = self.reader.wordings.get(rubric)
        return RubricVerdicts(
            labels=wording.labels if wording else (),
            values=wording.values if wording else (),
            label_M=self._label_M[rubric],
            expected_M=self._expected_M[rubric],
        )
