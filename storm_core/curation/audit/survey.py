"""One reading of all verdicts: what they come to, and which of them are shown and probed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from storm_core.curation.audit.sampling import Keys, Lowest, allocate
from storm_core.curation.audit.tallies import NO_LABEL, Tally, value_edges
from storm_core.curation.audit.verdict_columns import Batch, Expected, read_batches
from storm_core.curation.config import AuditConfig
from storm_core.curation.rubrics import DIFFICULTY, EDUCATIONAL_VALUE, Rubric
from storm_core.curation.verdicts import NO_ANSWER, Verdict
from storm_core.errors import InputError


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


class Survey:
    """All verdicts of a judge."""

    def __init__(self, rubrics: Iterable[Rubric], config: AuditConfig) -> None:
        self.rubrics = {rubric.name: RubricSurvey(rubric, config) for rubric in rubrics}
        self.examples = ExampleSet()
        self._config = config
        self._kept_by_label = 0
        self._kept_by_expected_value = 0
        self._kept_difficulties = np.zeros(len(self.rubrics[DIFFICULTY].rubric.labels) + 1, np.int64)

    def read(self, path: Path, expected: Expected) -> None:
        """Add the verdicts of one file, which holds both questions about its examples.

        Raises:
            InputError: see `read_batches`.
        """
        kept: list[Keys] = []
        difficulties: list[tuple[Keys, np.typing.NDArray[np.int64]]] = []
        for batch in read_batches(path, expected, self._config.seed):
            self.rubrics[batch.rubric.name].add(batch)
            if batch.rubric.name == EDUCATIONAL_VALUE:
                self.examples.add(batch.columns.keys)
                kept.append(self._keep(batch))
            else:
                difficulties.append((batch.columns.keys, batch.columns.places_N))
        kept_keys = np.concatenate([*kept, np.zeros(0, np.uint64)])
        for keys, places_N in difficulties:
            places_N = places_N[np.isin(keys, kept_keys)]  # noqa: PLW2901
            last = len(self._kept_difficulties) - 1
            self._kept_difficulties += np.bincount(np.where(places_N == NO_LABEL, last, places_N), minlength=last + 1)

    def check(self) -> None:
        """Refuse what no judge can be known by.

        Raises:
            InputError: there is no verdict.
        """
        if not self.examples.count:
            raise InputError("the verdicts hold none on the educational value; give what score wrote")

    def kept(self) -> dict[str, Any]:
        """How many examples count as kept, and how difficult the judge finds those kept by label."""
        labels = self.rubrics[DIFFICULTY].rubric.labels
        return {
            "min_educational_value": self._config.min_educational_value,
            "examples": self.examples.count,
            "by_label": self._kept_by_label,
            "by_label_share": self._kept_by_label / self.examples.count,
            "by_expected_value": self._kept_by_expected_value,
            "by_expected_value_share": self._kept_by_expected_value / self.examples.count,
            "difficulties": dict(zip(labels, map(int, self._kept_difficulties), strict=False)),
            "difficulty_unknown": self._kept_by_label - int(self._kept_difficulties[:-1].sum()),
        }

    def _keep(self, batch: Batch) -> Keys:
        """Count those kept; the keys of those kept by label."""
        columns, minimum = batch.columns, self._config.min_educational_value
        answered = columns.places_N != NO_LABEL
        by_label = answered & (np.asarray(batch.rubric.values)[columns.places_N] >= minimum)
        self._kept_by_label += int(by_label.sum())
        self._kept_by_expected_value += int((answered & (columns.expected_N >= minimum)).sum())
        return columns.keys[by_label]
