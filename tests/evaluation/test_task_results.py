"""Numbers of lm-eval that are none."""

import math
from typing import Any

import pytest

from storm_core.errors import InputError
from storm_core.evaluation.task_results import measurement_of
from tests.evaluation.test_definition import CHOICE, task


def results(value: float, stderr: Any) -> dict[str, Any]:
    entry = {
        "doc_id": 0,
        "filter": "none",
        "arguments": [("What?", " a")],
        "target": 0,
        "filtered_resps": [(-1.0, True)],
    }
    return {
        "results": {"storm_quiz": {"acc,none": value, "acc_stderr,none": stderr}},
        "samples": {"storm_quiz": [{**entry, "acc": 1.0}, {**entry, "doc_id": 1, "acc": 0.0}]},
        "n-samples": {"storm_quiz": {"effective": 2}},
    }


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_score_that_is_no_finite_number_is_an_error_in_one_line(value: float) -> None:
    with pytest.raises(InputError, match=r"quiz: acc of storm_quiz comes to (-?inf|nan), by which no models"):
        measurement_of(task(CHOICE), results(value, 0.1))


@pytest.mark.parametrize(("stderr", "wanted"), [(0.1, 0.1), ("N/A", None), (math.nan, None), (math.inf, None)])
def test_a_standard_error_that_is_none_is_not_known(stderr: Any, wanted: float | None) -> None:
    found = measurement_of(task(CHOICE), results(0.5, stderr)).score.stderr
    assert found == (pytest.approx(wanted) if wanted else None)
