"""Means and standard errors, against lm-eval's own functions."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_core.evaluation.scores import Sample, Score, mean_score, plain_mean, pooled_mean

OUTCOMES = st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=60)
SCORES = st.lists(st.floats(0, 1), min_size=2, max_size=60)


@given(OUTCOMES)
def test_stderr_of_right_or_wrong_is_the_binomial_formula(outcomes: list[float]) -> None:
    score = mean_score(outcomes)
    assert score.value == pytest.approx(sum(outcomes) / len(outcomes))
    assert score.stderr == pytest.approx(math.sqrt(score.value * (1 - score.value) / (len(outcomes) - 1)))


@given(SCORES)
def test_mean_score_equals_lm_evals(values: list[float]) -> None:
    from lm_eval.api.metrics import mean, mean_stderr

    score = mean_score(values)
    assert score.value == pytest.approx(mean(values))
    assert score.stderr == pytest.approx(mean_stderr(values), abs=1e-12)


@given(st.lists(SCORES, min_size=1, max_size=4))
def test_pooled_mean_equals_lm_evals(groups: list[list[float]]) -> None:
    from lm_eval.api.metrics import aggregate_subtask_metrics, mean_stderr, pooled_sample_stderr

    sizes = [len(group) for group in groups]
    pooled = pooled_mean([mean_score(group) for group in groups], sizes)
    means = [sum(group) / len(group) for group in groups]
    assert pooled.value == pytest.approx(aggregate_subtask_metrics(means, sizes, weight_by_size=True))
    assert pooled.stderr == pytest.approx(pooled_sample_stderr([mean_stderr(g) for g in groups], sizes), abs=1e-12)


def test_pooled_mean_of_one_task_is_that_task() -> None:
    pooled = pooled_mean([Score(value=0.4, stderr=0.05)], [100])
    assert pooled.value == pytest.approx(0.4)
    assert pooled.stderr == pytest.approx(0.05)


def test_pooled_mean_has_no_stderr_where_a_task_has_none() -> None:
    pooled = pooled_mean([Score(value=0.4, stderr=None), Score(value=0.8, stderr=0.1)], [10, 30])
    assert pooled.value == pytest.approx(0.7)
    assert pooled.stderr is None


def test_plain_mean_weighs_categories_alike() -> None:
    score = plain_mean([Score(value=0.0, stderr=0.0), Score(value=1.0, stderr=0.2)])
    assert score.value == 0.5
    assert score.stderr == pytest.approx(0.1)


def test_one_value_has_no_standard_error() -> None:
    with pytest.raises(ValueError, match="at least two"):
        mean_score([1.0])


@pytest.mark.parametrize(("score", "correct"), [(1.0, True), (0.0, False), (0.5, None)])
def test_part_of_a_point_is_neither_right_nor_wrong(score: float, correct: bool | None) -> None:
    assert Sample(id="a", prompt="", reply="", score=score, reason="").correct is correct
