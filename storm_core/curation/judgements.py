"""The judge's answers about a population as columns: what the selection needs of millions of verdicts, and no more.

M: examples. V: verdicts of one batch.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storm_core.curation.population import Population, binary_ids, hexadecimal
from storm_core.curation.rubrics import DIFFICULTY, EDUCATIONAL_VALUE
from storm_core.curation.verdicts import NO_ANSWER, read_verdict_columns
from storm_core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# In the place of a label's position: the judge was not asked, or gave none of the labels.
UNASKED = -1
UNANSWERED = -2
_RUBRICS = (EDUCATIONAL_VALUE, DIFFICULTY)
_COLUMNS = ("id", "rubric", "rubric_hash", "judge_digest", "labels", "values", "label", "expected_value")
_BATCH_ROWS = 16_384


@dataclass(frozen=True, kw_only=True)
class Answers:
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
class Judgements:
    """The answers to both rubrics; every example has been asked for its educational value."""

    educational_value: Answers
    difficulty: Answers


def read_judgements(population: Population, paths: Iterable[Path]) -> Judgements:
    """The judgements in the verdict files `paths`, in any order.

    Raises:
        InputError: a file is none of verdicts; an example without educational value verdict, two verdicts for one
            question, a verdict on an unknown example, or verdicts of different judges or wordings; names counts and one
            example.
    """
    gathering = _Gathering(population)
    for path in paths:
        for batch in read_verdict_columns(path, _COLUMNS, _BATCH_ROWS):
            gathering.add(batch, path)
    return gathering.finish()


@dataclass(kw_only=True)
class _Question:
    """What has been found of one rubric; `seen_M` is 1 where there is a verdict."""

    seen_M: "NDArray[np.bool_]"  # noqa: N815 (shape suffix)
    label_M: "NDArray[np.int16]"  # noqa: N815 (shape suffix)
    expected_M: "NDArray[np.float64]"  # noqa: N815 (shape suffix)
    wordings: set[str] = field(default_factory=set)
    labels: tuple[str, ...] = ()
    values: tuple[float, ...] = ()


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

    def __init__(self, population: Population) -> None:
        self._population = population
        size = len(population)
        self._questions = {
            rubric: _Question(
                seen_M=np.zeros(size, dtype=np.bool_),
                label_M=np.full(size, UNASKED, dtype=np.int16),
                expected_M=np.zeros(size, dtype=np.float64),
            )
            for rubric in _RUBRICS
        }
        self._judges: set[str] = set()
        self._foreign = _Offenders()
        self._repeated = _Offenders()

    def add(self, batch: "pa.RecordBatch", path: Path) -> None:
        """Take the verdicts of one batch."""
        for rubric in pc.unique(batch["rubric"]).to_pylist():
            if rubric not in self._questions:
                raise InputError(f"{path} holds verdicts about the unknown rubric {rubric!r}; score again")
            self._add(self._questions[rubric], batch.filter(pc.equal(batch["rubric"], rubric)), path)

    def finish(self) -> Judgements:
        """All answers, once nothing is wrong with them."""
        self._foreign.refuse("verdicts are about examples that are not among these; give the examples that were scored")
        self._repeated.refuse("verdicts repeat an answer that is there already; give each verdicts artifact once")
        missing = _Offenders()
        missing.add(self._population.ids_M[~self._questions[EDUCATIONAL_VALUE].seen_M])
        missing.refuse("examples have no educational value verdict; give the verdicts of every shard")
        for rubric, question in self._questions.items():
            _refuse_several(question.wordings, f"wordings of {rubric}")
        _refuse_several(self._judges, "judges")
        first, second = (self._answers(self._questions[rubric]) for rubric in _RUBRICS)
        return Judgements(educational_value=first, difficulty=second)

    def _add(self, question: _Question, verdicts: "pa.RecordBatch", path: Path) -> None:
        question.wordings.update(pc.unique(verdicts["rubric_hash"]).to_pylist())
        self._judges.update(pc.unique(verdicts["judge_digest"]).to_pylist())
        if not question.labels:
            question.labels = tuple(verdicts["labels"][0].as_py())
            question.values = tuple(verdicts["values"][0].as_py())
        ids_V = binary_ids(verdicts["id"], path)
        positions_V = self._population.find(ids_V)
        self._foreign.add(ids_V[positions_V < 0])
        known = np.flatnonzero(positions_V >= 0)
        _, first = np.unique(positions_V[known], return_index=True)
        fresh = known[first]
        fresh = fresh[~question.seen_M[positions_V[fresh]]]
        self._repeated.add(ids_V[np.setdiff1d(known, fresh)])
        places = positions_V[fresh]
        question.seen_M[places] = True
        question.label_M[places] = _label_numbers(verdicts["label"], question, path)[fresh]
        question.expected_M[places] = verdicts["expected_value"].to_numpy()[fresh]

    def _answers(self, question: _Question) -> Answers:
        return Answers(
            labels=question.labels,
            values=question.values,
            label_M=question.label_M,
            expected_M=question.expected_M,
        )


def _label_numbers(labels: "pa.Array", question: _Question, path: Path) -> "NDArray[np.int16]":
    """Position of each label among those of the question, or `UNANSWERED`."""
    encoded = labels.dictionary_encode()
    numbers = {**{label: place for place, label in enumerate(question.labels)}, NO_ANSWER: UNANSWERED}
    texts: list[Any] = encoded.dictionary.to_pylist()
    for text in texts:
        if text not in numbers and len(question.wordings) == 1:
            raise InputError(f"{path} holds the label {text!r}, not one of {', '.join(question.labels)}; score again")
    # Those of another wording, which are refused in the end, have no number.
    by_text = np.array([numbers.get(text, UNANSWERED) for text in texts], dtype=np.int16)
    numbers_V: NDArray[np.int16] = by_text[encoded.indices.to_numpy()]
    return numbers_V


def _refuse_several(things: set[str], name: str) -> None:
    if len(things) > 1:
        raise InputError(f"the verdicts come from {len(things)} different {name}; score every shard in the same way")
