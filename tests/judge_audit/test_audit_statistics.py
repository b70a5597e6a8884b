"""The audit's numbers against other implementations of them, and against cases with a known answer."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from storm_core.judge_audit.statistics import (
    adjacent_agreement,
    exact_agreement,
    interval,
    mean_by_group,
    ranks,
    spearman,
    weighted_kappa,
)

VALUES = (1.0, 2.0, 3.0, 4.0, 5.0)
label_pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=60)


def columns(pairs):
    return np.array([one for one, _ in pairs]), np.array([other for _, other in pairs])


@given(label_pairs)
def test_weighted_kappa_is_that_of_scikit_learn(pairs):
    one, other = columns(pairs)
    found = weighted_kappa(one, other, VALUES)
    if found is None:
        assert len(set(one) | set(other)) == 1
        return
    assert found == pytest.approx(cohen_kappa_score(one, other, labels=range(5), weights="quadratic"), abs=1e-12)


@given(label_pairs)
def test_spearman_is_that_of_scipy(pairs):
    one, other = columns(pairs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of constant input and says nan
        expected = spearmanr(one, other).statistic
    found = spearman(one, other)
    assert (found is None and np.isnan(expected)) or found == pytest.approx(expected, abs=1e-12)


def test_weights_come_from_the_values_of_the_labels_and_not_from_their_places():
    one, other = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])
    near = weighted_kappa(one, other, (0.0, 1.0, 10.0))
    far = weighted_kappa(one, other, (0.0, 9.0, 10.0))
    assert near is not None and far is not None
    assert near > far


def test_agreement_of_nothing_is_unknown():
    nothing = np.zeros(0, dtype=np.int64)
    assert exact_agreement(nothing, nothing) is None
    assert adjacent_agreement(nothing, nothing, VALUES) is None
    assert weighted_kappa(nothing, nothing, VALUES) is None
    assert spearman(nothing, nothing) is None
    assert interval(lambda _: 1.0, 0, seed=0) is None


def test_neighbours_are_those_in_the_order_of_the_values():
    # By value: the second label, the first, the third.
    values = (5.0, 0.0, 9.0)
    assert adjacent_agreement(np.array([0, 1]), np.array([1, 2]), values) == 0.5
    assert exact_agreement(np.array([0, 1]), np.array([1, 1])) == 0.5


def test_equal_values_share_the_mean_of_their_ranks():
    assert ranks([30, 10, 30, 20]).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_interval_of_a_mean_is_about_two_standard_errors_either_way():
    numbers = np.random.default_rng(1).normal(3.0, 2.0, 400)
    found = interval(lambda places: float(numbers[places].mean()), 400, seed=7)
    assert found is not None
    low, high = found
    error = numbers.std() / 20
    assert numbers.mean() - low == pytest.approx(1.96 * error, rel=0.15)
    assert high - numbers.mean() == pytest.approx(1.96 * error, rel=0.15)
    assert [low, high] == interval(lambda places: float(numbers[places].mean()), 400, seed=7)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=80))
def test_groups_hold_every_example_once_and_equal_lengths_together(lengths):
    groups = mean_by_group(lengths, np.array(lengths) * 2.0, groups=10)
    assert sum(group["examples"] for group in groups) == len(lengths)
    assert len(groups) <= 10
    for lower, higher in itertools.pairwise(groups):
        assert lower["high"] < higher["low"]
    total = sum(group["mean"] * group["examples"] for group in groups)
    assert total == pytest.approx(2.0 * sum(lengths))
