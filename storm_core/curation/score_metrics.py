"""What a shard's verdicts come to: examples, and of each rubric the label counts and means."""

from collections import Counter
from collections.abc import Iterable, Sequence

from storm_core.curation.rubrics import DIFFICULTY, EDUCATIONAL_VALUE, label_in_name
from storm_core.curation.verdicts import NO_ANSWER, Verdict


class ScoreMetrics:
    """Counts verdicts as they come."""

    def __init__(self) -> None:
        self._examples = 0
        self._truncated = 0
        self._rubrics = {name: _RubricMetrics() for name in (EDUCATIONAL_VALUE, DIFFICULTY)}

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Count these."""
        for verdict in verdicts:
            if verdict.rubric == EDUCATIONAL_VALUE:
                self._examples += 1
                self._truncated += verdict.truncated
            self._rubrics[verdict.rubric].add(verdict)

    def metrics(self) -> dict[str, float]:
        """All of it, by name."""
        found: dict[str, float] = {"examples": self._examples, "truncated": self._truncated}
        for name, rubric in self._rubrics.items():
            found.update({f"{name}_{metric}": value for metric, value in rubric.metrics().items()})
        return found


class _RubricMetrics:
    def __init__(self) -> None:
        self._labels: Sequence[str] = ()
        self._counts: Counter[str] = Counter()
        self._expected_value = 0.0
        self._label_mass = 0.0

    def add(self, verdict: Verdict) -> None:
        self._labels = verdict.labels
        self._counts[verdict.label] += 1
        self._expected_value += verdict.expected_value
        self._label_mass += verdict.label_mass

    def metrics(self) -> dict[str, float]:
        asked = self._counts.total()
        unanswered = self._counts[NO_ANSWER]
        metrics: dict[str, float] = {"asked": asked}
        for place, label in enumerate(self._labels):
            metrics[f"label_{label_in_name(label, place)}"] = self._counts[label]
        if unanswered:
            metrics["unanswered"] = unanswered
        if asked > unanswered:
            metrics["mean"] = self._expected_value / (asked - unanswered)
        if asked:
            metrics["label_mass_mean"] = self._label_mass / asked
        return metrics
