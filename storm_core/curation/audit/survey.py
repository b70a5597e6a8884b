"""One reading of all verdicts: what they come to, and which of them are shown and probed."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from storm_core.curation.audit.sampling import Keys, Lowest, allocate
from storm_core.curation.audit.statistics import Integers
from storm_core.curation.audit.tallies import NO_LABEL, Tally, value_edges
from storm_core.curation.audit.verdict_columns import Batch, Expected, read_batches
from storm_core.curation.config import AuditConfig
from storm_core.curation.rubrics import DIFFICULTY, EDUCATIONAL_VALUE, Rubric
from storm_core.curation.verdicts import NO_ANSWER, Verdict
from storm_core.errors import InputError

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


class RubricSurvey:
    """The verdicts on one rubric."""

    def __init__(self, rubric: Rubric, config: AuditConfig) -> None:
        self.rubric = rubric
        self.edges = value_edges(rubric.values)
        self.total = Tally(rubric.labels, self.edges)
        self.sources: dict[str, Tally] = {}
        self._probed: dict[str, Lowest[Verdict]] = {}
        self._shown = {label: Lowest[Verdict](config.examples_per_label) for label in (*rubric.labels, NO_ANSWER)}
        self._probe_examples = config.probe_examples

    def add(self, batch: Batch) -> None:
        """Count these, and keep those with the lowest keys."""
        self.total.add(batch.columns)
        for source in sorted(set(batch.sources)):
            rows = np.flatnonzero(batch.sources == source)
            self.sources.setdefault(source, Tally(self.rubric.labels, self.edges)).add(batch.columns[rows])
            probed = self._probed.setdefault(source, Lowest(self._probe_examples))
            probed.offer(batch.columns.keys[rows], lambda place, rows=rows: batch.verdict(int(rows[place])))  # type: ignore[misc]
        for label, shown in self._shown.items():
            wanted = self.rubric.labels.index(label) if label != NO_ANSWER else NO_LABEL
            rows = np.flatnonzero(batch.columns.places_N == wanted)
            shown.offer(batch.columns.keys[rows], lambda place, rows=rows: batch.verdict(int(rows[place])))  # type: ignore[misc]

    def shown(self) -> dict[str, list[Verdict]]:
        """Some verdicts of each label."""
        return {label: lowest.items() for label, lowest in self._shown.items()}

    def probed(self) -> list[Verdict]:
        """Some verdicts of each source, in proportion to how many it has."""
        shares = allocate({source: tally.verdicts for source, tally in self.sources.items()}, self._probe_examples)
        return [verdict for source in sorted(shares) for verdict in self._probed[source].items()[: shares[source]]]


class KeptTally:
    """Examples that count as kept, by their difficulty."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = tuple(labels)
        self._count = 0
        self._difficulties = np.zeros(len(labels), np.int64)

    def add(self, keys: Keys, difficulties: Iterable[tuple[Keys, Integers]]) -> None:
        """Count the examples with these keys; `difficulties` are keys and places of labels, of others too."""
        self._count += len(keys)
        for asked, places_N in difficulties:
            known_N = places_N[np.isin(asked, keys) & (places_N != NO_LABEL)]
            self._difficulties += np.bincount(known_N, minlength=len(self._labels))

    def summary(self, examples: int) -> dict[str, Any]:
        """How many, and which share of all examples; of each difficulty too, as a share of those kept."""
        counts = dict(zip(self._labels, map(int, self._difficulties), strict=True))
        return {
            "kept": self._count,
            "share": self._count / examples,
            "difficulties": counts,
            "difficulty_shares": {label: count / self._count for label, count in counts.items()} if self._count else {},
            "difficulty_unknown": self._count - sum(counts.values()),
        }


class Survey:
    """All verdicts of a judge."""

    def __init__(self, rubrics: Iterable[Rubric], config: AuditConfig) -> None:
        self.rubrics = {rubric.name: RubricSurvey(rubric, config) for rubric in rubrics}
        self.examples = ExampleSet()
        self._config = config
        labels = self.rubrics[DIFFICULTY].rubric.labels
        self._kept = {way: KeptTally(labels) for way in (BY_LABEL, BY_EXPECTED_VALUE)}

    def by_name(self) -> dict[str, Rubric]:
        """The rubrics."""
        return {name: survey.rubric for name, survey in self.rubrics.items()}

    def wanted(self) -> set[str]:
        """IDs of the examples whose text is needed."""
        shown = {one.id for survey in self.rubrics.values() for verdicts in survey.shown().values() for one in verdicts}
        return shown | {one.id for survey in self.rubrics.values() for one in survey.probed()}

    def read(self, path: Path, expected: Expected) -> None:
        """Add the verdicts of one file, which holds both questions about its examples.

        Raises:
            InputError: see `read_batches`.
        """
        kept: dict[str, list[Keys]] = {way: [np.zeros(0, np.uint64)] for way in self._kept}
        difficulties: list[tuple[Keys, Integers]] = []
        for batch in read_batches(path, expected, self._config.seed):
            self.rubrics[batch.rubric.name].add(batch)
            if batch.rubric.name == EDUCATIONAL_VALUE:
                self.examples.add(batch.columns.keys)
                for way, passed in self._passed(batch).items():
                    kept[way].append(batch.columns.keys[passed])
            else:
                difficulties.append((batch.columns.keys, batch.columns.places_N))
        for way, tally in self._kept.items():
            keys = np.concatenate(kept[way])
            tally.add(keys, difficulties)

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
            **{way: tally.summary(self.examples.count) for way, tally in self._kept.items()},
        }

    def _passed(self, batch: Batch) -> dict[str, "npt.NDArray[np.bool_]"]:
        """Which rows count as kept."""
        columns, minimum = batch.columns, self._config.min_educational_value
        answered = columns.places_N != NO_LABEL
        return {
            BY_LABEL: answered & (np.asarray(batch.rubric.values)[columns.places_N] >= minimum),
            BY_EXPECTED_VALUE: answered & (columns.expected_N >= minimum),
        }
