import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_core.artifacts import open_directory
from storm_core.errors import InputError
from storm_core.promotion.comparison import difference, mean_difference, mean_score
from storm_core.promotion.evaluations import BenchmarkScore, Evaluation, check_comparable, read_evaluation

outcomes = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=2, max_size=40)


def benchmark(scores: list[float], *, paired: bool = True, name: str = "tools") -> BenchmarkScore:
    mean = math.fsum(scores) / len(scores)
    stderr = math.sqrt(math.fsum((s - mean) ** 2 for s in scores) / (len(scores) - 1) / len(scores))
    questions = {str(i): score for i, score in enumerate(scores)} if paired else {}
    return BenchmarkScore(
        name=name, title=name, metric="accuracy", value=mean, stderr=stderr, samples=len(scores), questions=questions
    )


def evaluation(*benchmarks: BenchmarkScore) -> Evaluation:
    return Evaluation(suite="s", suite_sha256="h", dtype="bfloat16", model_digest="d", benchmarks=benchmarks)


@given(outcomes)
def test_paired_standard_error_has_the_covariance_that_independence_ignores(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    count = len(pairs)
    paired = difference(benchmark(ours), benchmark(theirs))
    independent = difference(benchmark(ours, paired=False), benchmark(theirs, paired=False))
    mean_a, mean_b = sum(ours) / count, sum(theirs) / count
    covariance = sum((a - mean_a) * (b - mean_b) for a, b in pairs) / (count - 1) / count
    assert paired.value == pytest.approx(independent.value)
    assert paired.stderr is not None and independent.stderr is not None
    assert paired.stderr**2 == pytest.approx(independent.stderr**2 - 2 * covariance, abs=1e-12)


@given(outcomes)
def test_a_difference_changes_its_sign_with_the_models_and_keeps_its_error(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = benchmark([a for a, _ in pairs]), benchmark([b for _, b in pairs])
    forth, back = difference(ours, theirs), difference(theirs, ours)
    assert forth.value == -back.value
    assert forth.stderr == pytest.approx(back.stderr)


def test_a_model_does_not_differ_from_itself() -> None:
    same = difference(benchmark([1, 0, 1, 0]), benchmark([1, 0, 1, 0]))
    assert (same.value, same.stderr) == (0, 0)


def test_questions_whose_mean_is_not_the_value_are_not_paired() -> None:
    ours, theirs = benchmark([1, 1, 0, 0]), benchmark([1, 0, 0, 0])
    odd = BenchmarkScore(**{**vars(ours), "value": 0.7})
    assert ours.stderr is not None and theirs.stderr is not None
    expected = math.hypot(ours.stderr, theirs.stderr)
    assert difference(odd, theirs).stderr == pytest.approx(expected)
    paired = difference(ours, theirs).stderr
    assert paired is not None and paired < expected


def test_the_mean_weighs_benchmarks_equally_and_adds_squares() -> None:
    few, many = benchmark([1, 0], name="a"), benchmark([1.0] * 9 + [0.0], name="b")
    mean = mean_score(evaluation(few, many))
    assert mean.value == pytest.approx((0.5 + 0.9) / 2)
    assert few.stderr is not None and many.stderr is not None
    assert mean.stderr == pytest.approx(math.sqrt(few.stderr**2 + many.stderr**2) / 2)


def test_an_unknown_standard_error_stays_unknown_in_the_mean() -> None:
    known = benchmark([1, 0], paired=False)
    unknown = BenchmarkScore(**{**vars(known), "stderr": None})
    assert mean_score(evaluation(known, unknown)).stderr is None
    assert mean_difference(evaluation(unknown), evaluation(known)).stderr is None


def test_an_evaluation_is_read_with_the_score_of_every_question(evaluations) -> None:
    read = read_evaluation(open_directory(Path(evaluations()["merged_evaluation"][0])))
    assert [score.name for score in read.benchmarks] == ["tools", "trivia"]
    assert read.benchmarks[0].value == pytest.approx(13 / 20)
    assert sum(read.benchmarks[0].questions.values()) == 13


@pytest.mark.parametrize("field", ["suite", "suite_sha256", "dtype"])
def test_evaluations_made_differently_are_refused(field: str) -> None:
    ours = evaluation(benchmark([1, 0]))
    theirs = Evaluation(**{**vars(ours), field: "another"})
    with pytest.raises(InputError, match=f"tuned was evaluated with {field} 'another'"):
        check_comparable({"base": ours, "tuned": theirs})


def test_evaluations_with_other_dates_in_their_prompts_are_refused() -> None:
    undated, dated, later = (
        Evaluation(**{**vars(evaluation(benchmark([1, 0]))), "template_date": date})
        for date in ("", "2024-07-26", "2025-01-01")
    )
    check_comparable({"base": undated, "tuned": dated, "merged": dated})
    with pytest.raises(InputError, match="template_date 2024-07-26 and 2025-01-01"):
        check_comparable({"base": undated, "tuned": dated, "merged": later})


def test_evaluations_of_other_benchmarks_are_refused() -> None:
    ours = evaluation(benchmark([1, 0]))
    theirs = evaluation(benchmark([1, 0]), benchmark([1, 0], name="more"))
    with pytest.raises(InputError, match=r"tuned and base differ in their benchmarks \(more\)"):
        check_comparable({"base": ours, "tuned": theirs})
