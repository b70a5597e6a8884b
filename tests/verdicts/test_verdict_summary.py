"""What many verdicts come to, and that everyone who tells of them tells the same."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_core.examples.index import make_index
from storm_core.judge_audit.config import AuditConfig
from storm_core.judge_audit.expected import Expected
from storm_core.judge_audit.summary import JudgeSummary
from storm_core.judging.metrics import score_metrics
from storm_core.judging.wording.rubrics import load_rubric
from storm_core.reporting.contents import collect_verdicts
from storm_core.selection.verdicts_by_example import read_by_example
from storm_core.verdicts.files import write_verdicts
from storm_core.verdicts.summary import relative_entropy, summarise, total_of
from tests.verdicts.conftest import MakeVerdict

FOUR, NONE = (0.0, 0.0, 0.0, 1.0, 0.0), (0.0,) * 5


def test_verdicts_of_several_files_are_counted_together(tmp_path: Path, make_verdict: MakeVerdict) -> None:
    first = [make_verdict("1", (1.0, 0, 0, 0, 0)), make_verdict("2", (0, 0, 0, 0, 1.0), source="tools")]
    write_verdicts(tmp_path / "a", first)
    write_verdicts(tmp_path / "b", [make_verdict("3", (0, 0, 1.0, 0, 0), truncated=True, label_mass=1.0)])
    sources = summarise([tmp_path / "a", tmp_path / "b"])["educational_value"]
    chat, total = sources["chat"].numbers(), total_of(sources.values()).numbers()
    assert chat["labels"] == {"1": 1, "2": 0, "3": 1, "4": 0, "5": 0}
    assert chat["mean_expected_value"] == 2
    assert chat["mean_label_mass"] == 0.75
    assert (total["verdicts"], total["truncated"], total["labels"]["5"]) == (3, 1, 1)
    assert (sources["chat"].edges[0], sources["chat"].edges[-1]) == (1, 5)


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=1, max_size=20))
def test_every_verdict_is_in_one_bin_of_the_histogram(
    tmp_path_factory: pytest.TempPathFactory, make_verdict: MakeVerdict, rows: list[list[float]]
) -> None:
    path = tmp_path_factory.mktemp("verdicts") / "v"
    write_verdicts(path, [make_verdict(str(i), tuple(p / sum(row) for p in row)) for i, row in enumerate(rows)])
    total = total_of(summarise([path])["educational_value"].values()).numbers()
    assert sum(total["expected_value_histogram"]) == sum(total["labels"].values()) == len(rows)
    assert 0 <= total["mean_entropy"] <= 1 + 1e-12


def test_entropy_is_zero_for_certainty_and_one_for_a_guess() -> None:
    entropy = relative_entropy(np.array([[1.0, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0]]))
    assert entropy == pytest.approx([0, 1, math.log(2) / math.log(4)])


def test_nobody_takes_an_example_without_answer_into_the_mean(tmp_path: Path, make_verdict: MakeVerdict) -> None:
    path, rubric = tmp_path / "verdicts.parquet", load_rubric("educational_value")
    ids = ("1" * 64, "2" * 64)
    said = {"rubric_hash": rubric.sha256, "judge_digest": "j" * 64}
    write_verdicts(path, [make_verdict(id, p, **said) for id, p in zip(ids, (FOUR, NONE), strict=True)])

    assert score_metrics(path)["educational_value_mean"] == 4.0
    reported = collect_verdicts([path])["rubrics"]["educational_value"]
    for numbers in (reported["total"], reported["sources"]["chat"]):
        assert (numbers["mean_expected_value"], numbers["verdicts"], numbers["unanswered"]) == (4.0, 2, 1)
    audited = JudgeSummary([rubric, load_rubric("difficulty")], AuditConfig())
    expected = Expected(judge_digest="j" * 64, rubrics=audited.by_name(), max_length=1024)
    audited.read(path, expected)
    assert audited.rubrics["educational_value"].total.numbers()["mean_expected_value"] == 4.0
    index = make_index(np.array([bytes.fromhex(id) for id in ids]), np.zeros(2, np.int32), ("chat",))
    answers = read_by_example(index, [path]).educational_value
    assert np.nanmean(answers.numbers()) == 4.0


def test_summary_of_what_was_never_answered_has_no_mean(tmp_path: Path, make_verdict: MakeVerdict) -> None:
    write_verdicts(tmp_path / "v", [make_verdict("1", NONE, label_mass=0.0)])
    numbers = summarise([tmp_path / "v"])["educational_value"]["chat"].numbers()
    assert (numbers["mean_expected_value"], numbers["mean_entropy"]) == (None, None)
    assert (numbers["unanswered_share"], numbers["mean_label_mass"]) == (1.0, 0.0)
