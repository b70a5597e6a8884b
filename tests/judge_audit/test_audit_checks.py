"""What is compared and measured, and what becomes of it in words."""

from dataclasses import replace

import pytest

from storm_core.judge_audit.checks import (
    CARE,
    FAIR,
    GOOD,
    NO_TRUST,
    POOR,
    TRUSTED,
    UNKNOWN,
    Check,
    Threshold,
    check_rubric,
    grade,
    judge_the_judge,
    load_thresholds,
)
from storm_core.judge_audit.comparison import compare, position_bias
from storm_core.judging.wording.rubrics import load_rubric

RUBRIC = load_rubric("educational_value")
HIGHER = Threshold(good=0.6, poor=0.4, meaning="", reason="")
LOWER = Threshold(good=0.1, poor=0.3, meaning="", reason="")


@pytest.fixture
def say(make_verdict):
    """Verdicts on examples a, b, c and so on."""
    return lambda labels: {
        chr(97 + place): make_verdict(chr(97 + place), "educational_value", label) for place, label in enumerate(labels)
    }


def all_mass_on(verdict, place):
    return replace(verdict, probabilities=tuple(float(other == place) for other in range(5)))


def test_verdicts_agree_with_themselves(say):
    found = compare(say("12345"), say("12345"), RUBRIC, seed=0)
    assert found["examples"] == 5
    for name in ("exact_agreement", "within_one_agreement", "weighted_kappa", "spearman"):
        assert found[name]["estimate"] == pytest.approx(1.0)
    assert found["mean_shift"] == {"estimate": 0.0, "interval": [0.0, 0.0]}


def test_comparison_counts_neighbours_and_shifts(say):
    found = compare(say("1234"), say("2254"), RUBRIC, seed=0)
    assert found["exact_agreement"]["estimate"] == 0.5
    assert found["within_one_agreement"]["estimate"] == 0.75
    assert found["mean_shift"]["estimate"] == pytest.approx((1 + 0 + 2 + 0) / 4)


def test_examples_without_an_answer_are_counted_apart(say):
    one = say("123")
    other = {**say("123"), "b": replace(one["b"], label="", probabilities=(0.0,) * 5, expected_value=0.0)}
    found = compare(one, other, RUBRIC, seed=0)
    assert (found["examples"], found["unanswered"]) == (2, 1)
    assert found["exact_agreement"]["estimate"] == 1.0


def test_numbers_without_meaning_are_unknown(say):
    found = compare(say("1111"), say("1111"), RUBRIC, seed=0)
    assert found["weighted_kappa"] == found["spearman"] == {"estimate": None, "interval": None}


@pytest.mark.parametrize(("forward", "reverse", "bias"), [(0, 4, -1.0), (4, 0, 1.0), (3, 3, 0.0), (0, 0, 0.0)])
def test_position_bias_is_of_the_place_in_the_list_and_not_of_the_label(say, forward, reverse, bias):
    one = {id: all_mass_on(verdict, forward) for id, verdict in say("11").items()}
    other = {id: all_mass_on(verdict, reverse) for id, verdict in say("11").items()}
    assert position_bias(one, other, seed=0)["estimate"] == bias


@pytest.mark.parametrize(
    ("threshold", "estimate", "interval", "outcome"),
    [
        (HIGHER, 0.6, None, GOOD),
        (HIGHER, 0.59, None, FAIR),
        (HIGHER, 0.39, [0.3, 0.9], POOR),
        (HIGHER, 0.9, [0.39, 1.0], FAIR),
        (HIGHER, 0.9, [0.4, 1.0], GOOD),
        (LOWER, 0.1, [0.0, 0.3], GOOD),
        (LOWER, 0.1, [0.0, 0.31], FAIR),
        (LOWER, 0.31, None, POOR),
        (LOWER, None, None, UNKNOWN),
    ],
)
def test_good_needs_an_interval_that_is_nowhere_poor(threshold, estimate, interval, outcome):
    assert grade(threshold, estimate, interval) == outcome


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [([GOOD, GOOD], TRUSTED), ([GOOD, FAIR], CARE), ([GOOD, UNKNOWN], CARE), ([GOOD, UNKNOWN, POOR], NO_TRUST)],
)
def test_one_poor_check_is_enough_and_trust_needs_all(outcomes, verdict):
    check = Check(name="n", rubric="r", threshold=HIGHER, estimate=None, interval=None, outcome=GOOD)
    checks = [replace(check, outcome=outcome) for outcome in outcomes]
    assert judge_the_judge(checks) == verdict


def rubric_numbers(**changes):
    """What `collect` says of one question that a good judge answered."""
    sure = {"estimate": 0.99, "interval": [0.98, 1.0]}
    probe = {"examples": 200, "unanswered": 0, "exact_agreement": sure, "weighted_kappa": sure, "spearman": sure}
    numbers = {
        "name": "educational_value",
        "total": {
            "labels": {"1": 30, "2": 70},
            "mean_label_mass": 0.99,
            "unanswered_share": 0.0,
            "truncated_share": 0.0,
        },
        "probes": [{"name": name, **probe} for name in ("repeated", "shuffled", "paraphrase_1", "reversed")],
        "position_bias": {"estimate": -0.01, "interval": [-0.02, 0.01]},
        "length_correlation_within_sources": -0.1,
        "probed_examples": 200,
    }
    return {**numbers, **changes}


def outcomes(numbers):
    return {check.name: check.outcome for check in check_rubric(numbers)}


def test_consistent_judge_can_be_trusted():
    assert set(outcomes(rubric_numbers())) == set(load_thresholds())
    assert judge_the_judge(check_rubric(rubric_numbers())) == TRUSTED


def test_worse_wording_decides():
    bad = {
        **rubric_numbers()["probes"][0],
        "name": "paraphrase_2",
        "weighted_kappa": {"estimate": 0.2, "interval": [0.1, 0.3]},
        "spearman": {"estimate": 0.9, "interval": None},
    }
    found = outcomes(rubric_numbers(probes=[*rubric_numbers()["probes"], bad]))
    assert found["paraphrase_kappa"] == POOR
    assert found["paraphrase_spearman"] == GOOD


def test_wording_that_is_hardly_answered_is_no_reason_to_trust():
    good = rubric_numbers()["probes"]
    silent = {"estimate": None, "interval": None}
    none = {"name": "paraphrase_2", "examples": 0, "unanswered": 200}
    none |= dict.fromkeys(("exact_agreement", "weighted_kappa", "spearman"), silent)
    found = outcomes(rubric_numbers(probes=[*good, none]))
    assert found["paraphrase_kappa"] == found["paraphrase_spearman"] == UNKNOWN
    assert found["probe_unanswered_share"] == POOR
    for unanswered, outcome in ((2, GOOD), (3, FAIR), (20, FAIR), (21, POOR)):
        few = {**good[-1], "examples": 200 - unanswered, "unanswered": unanswered}
        assert outcomes(rubric_numbers(probes=[*good[:-1], few]))["probe_unanswered_share"] == outcome


def test_preference_for_the_first_is_as_poor_as_for_the_last():
    for sign in (-1, 1):
        bias = {"estimate": sign * 0.5, "interval": sorted([sign * 0.4, sign * 0.6])}
        assert outcomes(rubric_numbers(position_bias=bias))["position_bias"] == POOR


def test_what_was_not_asked_is_unknown_and_leaves_care():
    numbers = rubric_numbers(probes=[], position_bias=None, probed_examples=0)
    found = outcomes(numbers)
    assert {name for name, outcome in found.items() if outcome == UNKNOWN} == {
        "repeated_agreement",
        "shuffled_agreement",
        "paraphrase_kappa",
        "paraphrase_spearman",
        "reversed_kappa",
        "position_bias",
        "probed_examples",
        "probe_unanswered_share",
    }
    assert judge_the_judge(check_rubric(numbers)) == CARE


def test_judge_that_says_always_the_same_is_not_trusted():
    total = {**rubric_numbers()["total"], "labels": {"1": 96, "2": 4}}
    assert outcomes(rubric_numbers(total=total))["commonest_label_share"] == POOR
