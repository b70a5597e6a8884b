"""Agreement, rank correlation and their intervals: pure functions of arrays.

Shapes. N: examples, K: labels.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Enough for limits that move by a few thousandths when the seed changes.
_RESAMPLES = 1000
_LEVEL = 0.95


def exact_agreement(one_N: Integers, other_N: Integers) -> float | None:
    """Share of examples that have the same label in both; None of none."""
    return float((one_N == other_N).mean()) if one_N.size else None


def adjacent_agreement(one_N: Integers, other_N: Integers, values: Sequence[float]) -> float | None:
    """Share of examples whose two labels are the same or neighbours in the order of their values; None of none."""
    if not one_N.size:
        return None
    place_K = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return float((abs(place_K[one_N] - place_K[other_N]) <= 1).mean())


def weighted_kappa(one_N: Integers, other_N: Integers, values: Sequence[float]) -> float | None:
    """Cohen's kappa with quadratic weights: 1 as two that agree always, 0 as two that agree by chance.

    1 - sum(w o) / sum(w e), with o the observed shares of label pairs, e the product of their margins and w the squared
    difference of the labels' values. J. Cohen, "Weighted kappa", Psychological Bulletin 70 (1968).

    Args:
        one_N: places of the labels that one gave.
        other_N: places of the labels that the other gave.
        values: what each label counts.

    Returns:
        None where all labels are one and the same, so that nothing could disagree.
    """
    values_K = np.asarray(values, dtype=np.float64)
    weights_KK = (values_K[:, None] - values_K[None, :]) ** 2
    observed_KK = np.zeros_like(weights_KK)
    np.add.at(observed_KK, (one_N, other_N), 1.0)
    if not observed_KK.any():
        return None
    observed_KK /= observed_KK.sum()
    expected_KK = observed_KK.sum(axis=1)[:, None] * observed_KK.sum(axis=0)[None, :]
    by_chance = float((weights_KK * expected_KK).sum())
    return 1 - float((weights_KK * observed_KK).sum()) / by_chance if by_chance > 0 else None


def spearman(one_N: npt.ArrayLike, other_N: npt.ArrayLike) -> float | None:
    """Spearman's rank correlation: Pearson's of the ranks, equal values sharing the mean of theirs.

    C. Spearman, American Journal of Psychology 15 (1904). None where either is constant or there are fewer than two.
    """
    mean = (np.size(one_N) + 1) / 2
    one_R, other_R = ranks(one_N) - mean, ranks(other_N) - mean
    spread = float(np.sqrt((one_R**2).sum() * (other_R**2).sum()))
    return float(np.clip((one_R * other_R).sum() / spread, -1, 1)) if spread > 0 else None


def ranks(values_N: npt.ArrayLike) -> Floats:
    """The rank of each value from 1; equal values have the mean of the ranks that they take up."""
    _, inverse_N, counts = np.unique(np.asarray(values_N), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: Floats = (ends - (counts - 1) / 2.0).astype(np.float64)
    return means[inverse_N]


def interval(statistic: Callable[[Integers], float | None], size: int, seed: int) -> list[float] | None:
    """The 95% interval of a statistic by the percentile bootstrap, as [low, high].

    B. Efron and R. Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.

    Args:
        statistic: of the examples in these places, any of which may be there several times.
        size: how many examples there are.
        seed: of the resampling.

    Returns:
        None where it cannot be computed for any resample.
    """
    if not size:
        return None
    generator = np.random.default_rng(seed)
    found = [statistic(generator.integers(0, size, size)) for _ in range(_RESAMPLES)]
    known = [value for value in found if value is not None]
    if not known:
        return None
    low, high = np.quantile(known, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return [float(low), float(high)]


def mean_by_group(by_N: npt.ArrayLike, values_N: npt.ArrayLike, groups: int) -> list[dict[str, float]]:
    """The examples cut into groups of about equal size by one number, with the mean of another in each.

    Equal numbers stay together, so that there may be fewer groups.

    Returns:
        Of each group, from the lowest: `low` and `high` of the first number, `examples`, and the `mean` of the second.
    """
    by, values = np.asarray(by_N), np.asarray(values_N, dtype=np.float64)
    if not by.size:
        return []
    group_N = np.minimum(((ranks(by) - 0.5) / by.size * groups).astype(np.int64), groups - 1)
    found = []
    for group in np.unique(group_N):
        inside = group_N == group
        found.append(
            {
                "low": float(by[inside].min()),
                "high": float(by[inside].max()),
                "examples": int(inside.sum()),
                "mean": float(values[inside].mean()),
            }
        )
    return found
