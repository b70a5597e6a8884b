"""The one reader of verdicts: whatever is not one judge's answers to one wording is refused by name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storm_core.errors import InputError
from storm_core.verdicts.files import write_verdicts
from storm_core.verdicts.table import NO_ANSWER_PLACE, VerdictReader
from tests.verdicts.conftest import MakeVerdict

SURE = (0.0, 0.0, 0.0, 1.0, 0.0)


def test_batch_has_the_columns_of_one_rubric_as_arrays(tmp_path: Path, make_verdict: MakeVerdict) -> None:
    easy = make_verdict("1", (1.0, 0.0, 0.0), rubric="difficulty")
    silent = make_verdict("2", (0.0,) * 5, truncated=True)
    write_verdicts(tmp_path / "v", [make_verdict("1", SURE), easy, silent])
    first, second = VerdictReader().read(tmp_path / "v")
    assert (first.wording.rubric, first.wording.labels, len(first)) == ("educational_value", tuple("12345"), 2)
    assert first.place_N.tolist() == [3, NO_ANSWER_PLACE]
    assert first.answered_N.tolist() == [True, False]
    assert first.probability_NK.tolist() == [list(SURE), [0.0] * 5]
    assert first.texts("id").tolist() == ["1", "2"]
    assert first[np.array([1])].numbers("truncated").tolist() == [1.0]
    assert first[np.flatnonzero(first.answered_N)].verdict(0) == make_verdict("1", SURE)
    assert second.wording.rubric == "difficulty"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"judge_digest": "other"}, "another judge than those before"),
        ({"rubric_hash": "other"}, "another wording of educational_value than those before"),
        ({"rubric": "taste"}, "the unknown rubric 'taste'"),
        ({"label": "superb"}, "the label 'superb', not one of 1, 2, 3, 4, 5"),
        ({"labels": ("1", "2", "3", "4", "V")}, "with different labels"),
        ({"labels": ("1", "2")}, "with different labels"),
        ({"probabilities": (0.5, 0.5)}, "without a probability of each label"),
    ],
)
@pytest.mark.parametrize("files", [1, 2])
def test_verdict_that_is_not_as_those_before_is_refused(
    tmp_path: Path, make_verdict: MakeVerdict, changes: dict[str, Any], reason: str, files: int
) -> None:
    right = make_verdict("1", SURE)
    wrong = replace(make_verdict("2", SURE), **changes)
    reader = VerdictReader()
    if files == 2:
        write_verdicts(tmp_path / "before", [right])
        list(reader.read(tmp_path / "before"))
    write_verdicts(tmp_path / "wrong", [wrong] if files == 2 else [right, wrong])
    with pytest.raises(InputError, match=f"wrong holds .*{reason}"):
        list(reader.read(tmp_path / "wrong"))


@pytest.mark.parametrize("column", ["values", "probabilities", "expected_value", "label_mass", "unseen_mass"])
@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_numbers_that_are_not_finite_are_refused(
    tmp_path: Path, make_verdict: MakeVerdict, column: str, number: float
) -> None:
    right = make_verdict("1", SURE)
    given = getattr(right, column)
    changed: Any = (*given[:-1], number) if isinstance(given, tuple) else number
    write_verdicts(tmp_path / "wrong", [right, replace(right, **{column: changed})])
    with pytest.raises(InputError, match=f"wrong holds a verdict whose {column} is not finite; score again"):
        list(VerdictReader().read(tmp_path / "wrong"))


def test_only_the_columns_that_are_wanted_are_read(tmp_path: Path, make_verdict: MakeVerdict) -> None:
    write_verdicts(tmp_path / "v", [make_verdict("1", SURE)])
    (batch,) = VerdictReader(("id",)).read(tmp_path / "v")
    assert "probabilities" not in batch.table.column_names
    assert batch.texts("id").tolist() == ["1"]
