"""All verdicts of a judge, read once: summaries by rubric and source, which examples to show, which to ask again.

Shapes. N: verdicts of a batch.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from storm_core.errors import InputError
from storm_core.examples.sampling import Keys, Lowest, allocate, keys_of
from storm_core.judge_audit.config import AuditConfig
from storm_core.judge_audit.expected import Expected
from storm_core.judge_audit.lengths import LengthSample
from storm_core.judge_audit.statistics import Integers
from storm_core.judging.wording.rubrics import Rubric
from storm_core.verdicts.schema import DIFFICULTY, EDUCATIONAL_VALUE, NO_ANSWER, Verdict
from storm_core.verdicts.summary import VerdictSummary, rows_by_source
from storm_core.verdicts.table import NO_ANSWER_PLACE, VerdictBatch, VerdictReader, Wording

if TYPE_CHECKING:
    from numpy.typing import NDArray

BY_LABEL, BY_EXPECTED_VALUE = "by_label", "by_expected_value"


class ExampleSet:
    """A set of examples as their number and a sum over their keys: equal sets agree in both, others hardly ever."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, keys: Keys) -> None:
        """Add these; the same example twice counts twice."""
        self.count += len(keys)
        # Wraps around, as it should.
        self._sum = (self._sum + int(keys.sum(dtype=np.uint64))) % 2**64

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExampleSet) and (self.count, self._sum) == (other.count, other._sum)

    __hash__ = None  # type: ignore[assignment]  # it changes


class SourceSummary:
    """The verdicts of one source, or of all, on one rubric."""

    def __init__(self, rubric: Rubric) -> None:
        wording = Wording(rubric=rubric.name, sha256=rubric.sha256, labels=rubric.labels, values=rubric.values)
        self.verdicts = VerdictSummary(wording)
        self.lengths = LengthSample()

    def add(self, batch: VerdictBatch, keys: Keys) -> None:
        """Count these."""
        self.verdicts.add(batch)
        self.lengths.add(batch, keys)

    def numbers(self) -> dict[str, Any]:
        """All of it by name."""
        return {
            **self.verdicts.numbers(),
            "length_correlation": self.lengths.correlation(),
            "mean_by_length": self.lengths.mean_by_length(),
        }


class RubricSummary:
    """The verdicts on one rubric."""

    def __init__(self, rubric: Rubric, config: AuditConfig) -> None:
        self.rubric = rubric
        self.total = SourceSummary(rubric)
        self.sources: dict[str, SourceSummary] = {}
        self._probed: dict[str, Lowest[Verdict]] = {}
        self._shown = {label: Lowest[Verdict](config.examples_per_label) for label in (*rubric.labels, NO_ANSWER)}
        self._probe_examples = config.probe_examples

    def add(self, batch: VerdictBatch, keys: Keys) -> None:
        """Count these, and keep those with the lowest keys."""
        self.total.add(batch, keys)
        for source, rows in rows_by_source(batch):
            self.sources.setdefault(source, SourceSummary(self.rubric)).add(batch[rows], keys[rows])
            _offer(self._probed.setdefault(source, Lowest(self._probe_examples)), batch, keys, rows)
        for label, shown in self._shown.items():
            wanted = self.rubric.labels.index(label) if label != NO_ANSWER else NO_ANSWER_PLACE
            _offer(shown, batch, keys, np.flatnonzero(batch.place_N == wanted))

    def shown(self) -> dict[str, list[Verdict]]:
        """Some verdicts of each label."""
        return {label: lowest.items() for label, lowest in self._shown.items()}

    def probed(self) -> list[Verdict]:
        """Some verdicts of each source, in proportion to how many it has."""
        counts = {source: summary.verdicts.verdicts for source, summary in self.sources.items()}
        shares = allocate(counts, self._probe_examples)
        return [verdict for source in sorted(shares) for verdict in self._probed[source].items()[: shares[source]]]


def _offer(lowest: Lowest[Verdict], batch: VerdictBatch, keys: Keys, rows: Integers) -> None:
    lowest.offer(keys[rows], lambda place: batch.verdict(int(rows[place])))


class KeptExamples:
    """How many examples count as kept, and how difficult the judge finds those."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = tuple(labels)
        self._count = 0
        self._difficulties = np.zeros(len(labels), np.int64)

    def add(self, keys: Keys, difficulties: Iterable[tuple[Keys, Integers]]) -> None:
        """Count the examples with these keys; `difficulties` are keys and places of labels, of others too."""
        self._count += len(keys)
        for asked, places_N in difficulties:
            known_N = places_N[np.isin(asked, keys) & (places_N != NO_ANSWER_PLACE)]
            self._difficulties += np.bincount(known_N, minlength=len(self._labels))

    def numbers(self, examples: int) -> dict[str, Any]:
        """How many, and which share of all examples; of each difficulty too, as a share of those kept."""
        counts = dict(zip(self._labels, map(int, self._difficulties), strict=True))
        return {
            "kept": self._count,
            "share": self._count / examples,
            "difficulties": counts,
            "difficulty_shares": {label: count / self._count for label, count in counts.items()} if self._count else {},
            "difficulty_unknown": self._count - sum(counts.values()),
        }


class JudgeSummary:
    """All verdicts of a judge."""

    def __init__(self, rubrics: Iterable[Rubric], config: AuditConfig) -> None:
        self.rubrics = {rubric.name: RubricSummary(rubric, config) for rubric in rubrics}
        self.examples = ExampleSet()
        self._config = config
        self._reader = VerdictReader()
        labels = self.rubrics[DIFFICULTY].rubric.labels
        self._kept = {way: KeptExamples(labels) for way in (BY_LABEL, BY_EXPECTED_VALUE)}

    def by_name(self) -> dict[str, Rubric]:
        """The rubrics."""
        return {name: summary.rubric for name, summary in self.rubrics.items()}

    def wanted(self) -> set[str]:
        """IDs of the examples whose text is needed."""
        shown = {one.id for rubric in self.rubrics.values() for verdicts in rubric.shown().values() for one in verdicts}
        return shown | {one.id for rubric in self.rubrics.values() for one in rubric.probed()}

    def read(self, path: Path, expected: Expected) -> None:
        """Add the verdicts of one file, which holds both questions about its examples.

        Raises:
            InputError: see `VerdictReader` and `Expected`.
        """
        kept: dict[str, list[Keys]] = {way: [np.zeros(0, np.uint64)] for way in self._kept}
        difficulties: list[tuple[Keys, Integers]] = []
        for batch in self._reader.read(path):
            expected.check(batch, path)
            keys = keys_of(batch.texts("id"), self._config.salt)
            self.rubrics[batch.wording.rubric].add(batch, keys)
            if batch.wording.rubric == EDUCATIONAL_VALUE:
                self.examples.add(keys)
                for way, passed_N in self._passed(batch).items():
                    kept[way].append(keys[passed_N])
            else:
                difficulties.append((keys, batch.place_N))
        for way, examples in self._kept.items():
            examples.add(np.concatenate(kept[way]), difficulties)

    def check(self) -> None:
        """Refuse what no judge can be known by.

        Raises:
            InputError: there is no verdict.
        """
        if not self.examples.count:
            raise InputError("the verdicts hold none on the educational value; give what score wrote")

    def kept(self) -> dict[str, Any]:
        """How many examples count as kept by label and by expected value, and how difficult the judge finds those."""
        return {
            "min_educational_value": self._config.min_educational_value,
            "examples": self.examples.count,
            **{way: examples.numbers(self.examples.count) for way, examples in self._kept.items()},
        }

    def _passed(self, batch: VerdictBatch) -> dict[str, "NDArray[np.bool_]"]:
        """Which rows count as kept."""
        minimum = self._config.min_educational_value
        return {
            BY_LABEL: batch.answered_N & (np.asarray(batch.wording.values)[batch.place_N] >= minimum),
            BY_EXPECTED_VALUE: batch.answered_N & (batch.numbers("expected_value") >= minimum),
        }
