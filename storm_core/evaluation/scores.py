"""What a benchmark yields: scores with standard errors, and one sample per question."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Score:
    """A value from 0 to 1, or a difference of two, and its standard error; None where that is not known."""

    value: float
    stderr: float | None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One question, what the model made of it, and the verdict.

    Attributes:
        score: 0 to 1 in the benchmark's metric.
        reason: why it is not right, or what the right answer is.
    """

    id: str
    prompt: str
    reply: str
    score: float
    reason: str

    @property
    def correct(self) -> bool | None:
        """Whether it is right; None where the metric gives part of a point."""
        return bool(self.score) if self.score in (0.0, 1.0) else None


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The outcome of one benchmark. `score` is in `metric`; `others` are further scores by metric name."""

    metric: str
    score: Score
    samples: tuple[Sample, ...]
    others: Mapping[str, Score] = field(default_factory=dict)


def mean_score(values: Sequence[float]) -> Score:
    """Mean of one score a question, and the standard error of that mean.

    The formula is lm-eval's: sample standard deviation (n - 1) over sqrt(n), which for right-or-wrong questions is
    sqrt(p (1 - p) / (n - 1)). It is 0 when all answers are right or all are wrong.

    Raises:
        ValueError: fewer than two values.
    """
    count = len(values)
    if count < 2:
        raise ValueError(f"a standard error needs at least two values, got {count}")
    mean = math.fsum(values) / count
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    return Score(value=mean, stderr=math.sqrt(variance / count))


def plain_mean(scores: Sequence[Score]) -> Score:
    """Unweighted mean of independent scores; standard error sqrt(sum of squares) / k.

    Raises:
        ValueError: no scores, or one without a standard error.
    """
    if not scores:
        raise ValueError("no scores to average")
    squares = []
    for score in scores:
        if score.stderr is None:
            raise ValueError("cannot average scores without standard errors")
        squares.append(score.stderr**2)
    value = math.fsum(score.value for score in scores) / len(scores)
    return Score(value=value, stderr=math.sqrt(math.fsum(squares)) / len(scores))


def pooled_mean(scores: Sequence[Score], sizes: Sequence[int]) -> Score:
    """The score over all questions of several tasks, from the score and size of each.

    The standard error is lm-eval's `pooled_sample_stderr` (pooled variance); None where a task has none.

    Raises:
        ValueError: as many scores as sizes are needed, at least one.
    """
    total = sum(sizes)
    value = math.fsum(score.value * size for score, size in zip(scores, sizes, strict=True)) / total
    variances = [
        None if score.stderr is None else score.stderr**2 * size for score, size in zip(scores, sizes, strict=True)
    ]
    known = [variance for variance in variances if variance is not None]
    if len(known) < len(variances) or total == len(sizes):
        return Score(value=value, stderr=None)
    pooled = math.fsum((size - 1) * variance for size, variance in zip(sizes, known, strict=True))
    return Score(value=value, stderr=math.sqrt(pooled / (total - len(sizes)) / total))
