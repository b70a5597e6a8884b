import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_core.curation.verdicts import Verdict, write_verdicts
from storm_core.errors import InputError
from storm_core.reporting.figures.loss import running_mean
from storm_core.reporting.verdict_statistics import relative_entropy, summarise_verdicts


def verdict(id: str, probabilities: tuple[float, ...], **changes: Any) -> Verdict:
    labels = tuple(str(i + 1) for i in range(len(probabilities)))
    made: dict[str, Any] = {
        "id": id,
        "source": "chat",
        "rubric": "educational_value",
        "rubric_hash": "r",
        "judge_digest": "j",
        "labels": labels,
        "values": tuple(float(label) for label in labels),
        "probabilities": probabilities,
        "label": labels[probabilities.index(max(probabilities))],
        "expected_value": sum(p * (i + 1) for i, p in enumerate(probabilities)),
        "label_mass": 0.5,
        "tokens": 10,
        "truncated": False,
    }
    return Verdict(**(made | changes))


def test_verdicts_of_several_files_are_counted_together(tmp_path: Path) -> None:
    write_verdicts(tmp_path / "a", [verdict("1", (1.0, 0, 0, 0, 0)), verdict("2", (0, 0, 0, 0, 1.0), source="tools")])
    write_verdicts(tmp_path / "b", [verdict("3", (0, 0, 1.0, 0, 0), truncated=True, label_mass=1.0)])
    summary = summarise_verdicts([tmp_path / "a", tmp_path / "b"])
    rubric = summary["rubrics"]["educational_value"]
    assert summary["judge_digests"] == ["j"]
    assert rubric["sources"]["chat"]["labels"] == {"1": 1, "2": 0, "3": 1, "4": 0, "5": 0}
    assert rubric["sources"]["chat"]["mean_expected_value"] == 2
    assert rubric["sources"]["chat"]["mean_label_mass"] == 0.75
    assert rubric["total"]["verdicts"] == 3
    assert rubric["total"]["truncated"] == 1
    assert (rubric["histogram_edges"][0], rubric["histogram_edges"][-1]) == (1, 5)


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=1, max_size=20))
def test_every_verdict_is_in_one_bin_of_the_histogram(tmp_path_factory: pytest.TempPathFactory, rows) -> None:
    path = tmp_path_factory.mktemp("verdicts") / "v"
    write_verdicts(path, [verdict(str(i), tuple(p / sum(row) for p in row)) for i, row in enumerate(rows)])
    total = summarise_verdicts([path])["rubrics"]["educational_value"]["total"]
    assert sum(total["expected_value_histogram"]) == sum(total["labels"].values()) == len(rows)
    assert 0 <= total["mean_entropy"] <= 1 + 1e-12


def test_entropy_is_zero_for_certainty_and_one_for_a_guess() -> None:
    entropy = relative_entropy(np.array([[1.0, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0]]))
    assert entropy == pytest.approx([0, 1, math.log(2) / math.log(4)])


def test_labels_that_change_within_a_rubric_are_refused(tmp_path: Path) -> None:
    write_verdicts(tmp_path / "a", [verdict("1", (0.5, 0.5)), verdict("2", (0.2, 0.3, 0.5))])
    with pytest.raises(InputError, match="have different labels"):
        summarise_verdicts([tmp_path / "a"])


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30), st.integers(1, 10))
def test_a_running_mean_lies_between_the_values_it_covers(values: list[float], window: int) -> None:
    means = running_mean(values, window)
    assert len(means) == len(values)
    assert all(min(values) - 1e-9 <= mean <= max(values) + 1e-9 for mean in means)
    assert running_mean(values, 1) == values
