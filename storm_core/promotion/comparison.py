"""The difference between two models' scores, with its standard error."""

import math
from collections.abc import Sequence

from storm_core.evaluation import scores
from storm_core.evaluation.scores import Score
from storm_core.promotion.evaluations import BenchmarkScore, Evaluation

# A mean over the questions and the reported value may differ by rounding, not by more.
_SAME_VALUE = 1e-9


def mean_score(evaluation: Evaluation) -> Score:
    """Mean of the benchmarks, equally weighted; standard error sqrt(sum of squares) / n, as they are independent."""
    return _mean([Score(value=score.value, stderr=score.stderr) for score in evaluation.benchmarks])


def mean_difference(candidate: Evaluation, reference: Evaluation) -> Score:
    """Mean of the differences on each benchmark, with their standard errors; both must have the same benchmarks."""
    pairs = zip(candidate.benchmarks, reference.benchmarks, strict=True)
    return _mean([difference(ours, theirs) for ours, theirs in pairs])


def difference(candidate: BenchmarkScore, reference: BenchmarkScore) -> Score:
    """Score of `candidate` less that of `reference` on one benchmark.

    Both models answered the same questions, so the standard error is that of the mean of the paired differences:
    standard deviation (n - 1) over sqrt(n). Where the questions' scores do not explain the benchmark's value, the
    models count as independent, sqrt(a^2 + b^2): more cautious, as models tend to be right on the same questions.
    """
    value = candidate.value - reference.value
    if is_paired(candidate, reference):
        gains = [candidate.questions[name] - reference.questions[name] for name in sorted(candidate.questions)]
        return Score(value=value, stderr=scores.mean_score(gains).stderr)
    if candidate.stderr is None or reference.stderr is None:
        return Score(value=value, stderr=None)
    return Score(value=value, stderr=math.hypot(candidate.stderr, reference.stderr))


def is_paired(candidate: BenchmarkScore, reference: BenchmarkScore) -> bool:
    """Whether both have a score for each of the same two or more questions, whose mean is the benchmark's value."""
    same = candidate.questions.keys() == reference.questions.keys()
    return same and len(candidate.questions) > 1 and _is_plain_mean(candidate) and _is_plain_mean(reference)


def _is_plain_mean(score: BenchmarkScore) -> bool:
    mean = math.fsum(score.questions.values()) / len(score.questions)
    return abs(mean - score.value) <= _SAME_VALUE


def _mean(estimates: Sequence[Score]) -> Score:
    value = math.fsum(estimate.value for estimate in estimates) / len(estimates)
    known = [estimate.stderr for estimate in estimates if estimate.stderr is not None]
    if len(known) < len(estimates):
        return Score(value=value, stderr=None)
    return Score(value=value, stderr=math.hypot(*known) / len(estimates))
