"""Function calling: which questions are drawn, and what replies are worth."""

from pathlib import Path

import pytest

from storm_core.errors import InputError
from storm_core.evaluation.function_calling import draw_entries, judge, score_replies
from storm_core.evaluation.suite import FunctionCalling
from storm_core.toolcalls.bfcl import BfclEntry, reference_calls
from storm_core.toolcalls.calls import render_tool_call

DATA = Path(__file__).parents[2] / ".data"


def benchmark(*categories: str, samples: int | None = 5, path: str = "bfcl_eval/data") -> FunctionCalling:
    return FunctionCalling(
        name="calls",
        title="Calls",
        path=path,
        categories=categories,
        guidelines=False,
        batch_size=2,
        max_new_tokens=8,
        samples=samples,
    )


def right_reply(entry: BfclEntry) -> str:
    return "\n".join(render_tool_call(call) for call in reference_calls(entry))


def test_the_draw_is_seeded_and_in_file_order() -> None:
    entries = draw_entries(benchmark("simple_python", samples=20), DATA, seed=0)
    assert entries == draw_entries(benchmark("simple_python", samples=20), DATA, seed=0)
    assert entries != draw_entries(benchmark("simple_python", samples=20), DATA, seed=1)
    numbers = [int(entry.id.removeprefix("simple_python_")) for entry in entries]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 20


def test_without_a_sample_size_all_questions_are_drawn() -> None:
    assert len(draw_entries(benchmark("multiple", "parallel", samples=None), DATA, seed=0)) == 400


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (benchmark("simple_python", path="nowhere"), "nowhere"),
        (benchmark("simple_cobol"), "'simple_cobol' is not a BFCL category"),
        (benchmark("simple_python", samples=401), "simple_python has 400 questions, not 401"),
    ],
)
def test_questions_that_are_not_there_are_refused(asked: FunctionCalling, message: str) -> None:
    with pytest.raises(InputError, match=message):
        draw_entries(asked, DATA, seed=0)


def test_a_category_without_answers_is_refused(tmp_path: Path) -> None:
    source = DATA / "bfcl_eval" / "data" / "BFCL_v4_multiple.json"
    (tmp_path / source.name).write_bytes(source.read_bytes())
    with pytest.raises(InputError, match=r"no file .*possible_answer"):
        draw_entries(benchmark("multiple", path="."), tmp_path, seed=0)


def test_right_wrong_and_unreadable_replies_are_told_apart() -> None:
    (entry, *_) = draw_entries(benchmark("simple_python"), DATA, seed=0)
    assert judge(entry, right_reply(entry)) == (True, True, "")
    assert judge(entry, "[]")[:2] == (False, True)
    assert judge(entry, "I would call a function.")[:2] == (False, False)
    assert judge(entry, None)[:2] == (False, False)
    assert all(judge(entry, reply)[2] for reply in ("[]", "I would call a function.", None))


def test_scores_count_right_and_well_formed_replies() -> None:
    entries = draw_entries(benchmark("simple_python", samples=4), DATA, seed=0)
    replies = [right_reply(entries[0]), "[]", "prose", None]
    measurement = score_replies(entries, ["?"] * 4, replies)
    assert measurement.score.value == 0.25
    assert measurement.others["well_formed"].value == 0.5
    assert set(measurement.others) == {"well_formed"}
    assert [sample.correct for sample in measurement.samples] == [True, False, False, False]
    assert [sample.reply for sample in measurement.samples] == [replies[0], "[]", "prose", ""]
    assert [bool(sample.reason) for sample in measurement.samples] == [False, True, True, True]


def test_categories_weigh_alike_and_are_listed() -> None:
    simple = draw_entries(benchmark("simple_python", samples=2), DATA, seed=0)
    parallel = draw_entries(benchmark("parallel", samples=4), DATA, seed=0)
    entries = [*simple, *parallel]
    measurement = score_replies(entries, ["?"] * 6, [right_reply(e) for e in simple] + ["[]"] * 4)
    assert measurement.score.value == 0.5
    assert measurement.others["simple_python"].value == 1.0
    assert measurement.others["parallel"].value == 0.0
