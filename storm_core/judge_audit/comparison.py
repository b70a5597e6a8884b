"""How much alike two sets of verdicts on the same question are, and whether the place of a label matters.

Shapes. N: examples, K: labels.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from storm_core.judge_audit.statistics import (
    Floats,
    Integers,
    adjacent_agreement,
    exact_agreement,
    interval,
    spearman,
    weighted_kappa,
)
from storm_core.judging.wording.rubrics import Rubric
from storm_core.verdicts.schema import NO_ANSWER, Verdict


def compare(one: Mapping[str, Verdict], other: Mapping[str, Verdict], rubric: Rubric, seed: int) -> dict[str, Any]:
    """Agreement of two sets of verdicts on the same examples, by example ID.

    Args:
        one: the verdicts to compare with.
        other: the verdicts of the second time; examples that only `one` has are left out.
        rubric: which all of them answer.
        seed: of the bootstrap.

    Returns:
        `examples` that were answered both times, `unanswered` of the others, and each as `estimate`, None where it has
        no meaning, and `interval`: `exact_agreement`, `within_one_agreement`, `weighted_kappa`, `spearman` and
        `mean_shift` (of the expected value, from `one` to `other`).
    """
    ids = [id for id in sorted(other) if NO_ANSWER not in (one[id].label, other[id].label)]
    one_N, other_N = (_places([verdicts[id] for id in ids], rubric) for verdicts in (one, other))
    first_N, second_N = (_expected([verdicts[id] for id in ids]) for verdicts in (one, other))
    statistics: dict[str, Callable[[Integers], float | None]] = {
        "exact_agreement": lambda at: exact_agreement(one_N[at], other_N[at]),
        "within_one_agreement": lambda at: adjacent_agreement(one_N[at], other_N[at], rubric.values),
        "weighted_kappa": lambda at: weighted_kappa(one_N[at], other_N[at], rubric.values),
        "spearman": lambda at: spearman(first_N[at], second_N[at]),
        "mean_shift": lambda at: _mean(second_N[at] - first_N[at]),
    }
    measured = {name: _measure(statistic, len(ids), seed) for name, statistic in statistics.items()}
    return {"examples": len(ids), "unanswered": len(other) - len(ids), **measured}


def position_bias(forward: Mapping[str, Verdict], reverse: Mapping[str, Verdict], seed: int) -> dict[str, Any]:
    """Whether the judge prefers what is listed first (-1) or last (1), as `estimate` and `interval`; 0 is neither.

    The place of an answer in its list, 0 first to 1 last, is on average p in the one order and 1 - p in the other for a
    judge that looks at the labels alone; what the two sum to beyond 1 is due to the place. (Swapping the order is how
    L. Zheng et al., "Judging LLM-as-a-Judge" (2023), section 3.3, show position bias.) Places are weighted with the
    labels' probabilities.

    Args:
        forward: by example ID, asked with the labels in the order of the rubric.
        reverse: the same, asked with the labels in reverse.
        seed: of the bootstrap.
    """
    ids = [id for id in sorted(reverse) if NO_ANSWER not in (forward[id].label, reverse[id].label)]
    forward_N, reverse_N = (
        np.array([_mean_place(verdicts[id].probabilities) for id in ids]) for verdicts in (forward, reverse)
    )
    return _measure(lambda at: _mean((forward_N - reverse_N)[at]), len(ids), seed)


def _measure(statistic: Callable[[Integers], float | None], size: int, seed: int) -> dict[str, Any]:
    return {"estimate": statistic(np.arange(size)), "interval": interval(statistic, size, seed)}


def _places(verdicts: list[Verdict], rubric: Rubric) -> Integers:
    return np.array([rubric.labels.index(verdict.label) for verdict in verdicts], dtype=np.int64)


def _expected(verdicts: list[Verdict]) -> Floats:
    return np.array([verdict.expected_value for verdict in verdicts], dtype=np.float64)


def _mean_place(probabilities_K: tuple[float, ...]) -> float:
    """In the order of the rubric, 0 to 1."""
    return float(np.dot(probabilities_K, np.linspace(0, 1, len(probabilities_K))))


def _mean(values_N: Floats) -> float | None:
    return float(values_N.mean()) if values_N.size else None
