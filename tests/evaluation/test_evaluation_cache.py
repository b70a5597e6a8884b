"""Replies and measurements that survive the process that made them."""

import math
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_core.evaluation import evaluation_cache
from storm_core.evaluation.evaluation_cache import ReplyCache, keep_measurement, read_measurement
from storm_core.evaluation.resumable_model import cut
from storm_core.evaluation.scores import Measurement, Sample, Score
from storm_core.pacing import Pace
from storm_core.stores.partial_results import DirectoryPartialResults


@pytest.fixture
def partial_results(tmp_path: Path) -> DirectoryPartialResults:
    return DirectoryPartialResults(tmp_path / "parts")


def refuse() -> list[str]:
    raise AssertionError("asked twice")


def test_what_was_kept_is_not_asked_again(partial_results: DirectoryPartialResults) -> None:
    first = ReplyCache(partial_results, "quiz")
    assert first.ask(["a", 1], lambda: ["yes", "\ud800 odd"]) == ["yes", "\ud800 odd"]
    assert first.ask(["b", 1], lambda: [[-math.inf, True], [-0.1, False]]) == [[-math.inf, True], [-0.1, False]]
    first.keep()
    second = ReplyCache(partial_results, "quiz")
    assert second.ask(["a", 1], refuse) == ["yes", "\ud800 odd"]
    assert second.ask(["b", 1], refuse) == [[-math.inf, True], [-0.1, False]]
    assert second.ask(["a", 2], lambda: ["no"]) == ["no"]
    second.keep()
    assert len(partial_results.names()) == 2
    assert ReplyCache(partial_results, "quiz").ask(["a", 2], refuse) == ["no"]


def test_replies_become_a_part_once_enough_time_has_passed(
    partial_results: DirectoryPartialResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ReplyCache(partial_results, "quiz")
    kept.ask(["a"], lambda: ["yes"])
    assert partial_results.names() == ()
    kept.keep()
    monkeypatch.setattr(evaluation_cache, "LONGEST_SECONDS", 0.0)
    hurried = ReplyCache(partial_results, "quiz")
    hurried.ask(["b"], lambda: ["no"])
    assert partial_results.names() == ("quiz/replies-00000.json", "quiz/replies-00001.json")
    assert ReplyCache(partial_results, "quiz").ask(["a"], refuse) == ["yes"]


def test_benchmarks_keep_to_their_own_replies(partial_results: DirectoryPartialResults) -> None:
    kept = ReplyCache(partial_results, "quiz")
    kept.ask(["a"], lambda: ["yes"])
    kept.keep()
    assert ReplyCache(partial_results, "quiz_2").ask(["a"], lambda: ["no"]) == ["no"]


def test_altered_part_is_asked_again(partial_results: DirectoryPartialResults) -> None:
    kept = ReplyCache(partial_results, "quiz")
    kept.ask(["a"], lambda: ["yes"])
    kept.keep()
    (stored,) = (path for path in partial_results.root.rglob("*") if path.is_file())
    stored.write_text("{}")
    assert ReplyCache(partial_results, "quiz").ask(["a"], lambda: ["no"]) == ["no"]


def test_measurement_comes_back_as_it_was(partial_results: DirectoryPartialResults) -> None:
    measurement = Measurement(
        metric="acc",
        score=Score(value=1 / 3, stderr=None),
        samples=(Sample(id="q-0", prompt="p\u00e9", reply="r", score=0.1, reason=""),),
        others={"f1": Score(value=0.5, stderr=0.1)},
    )
    assert read_measurement(partial_results, "quiz") is None
    keep_measurement(partial_results, "quiz", measurement)
    assert read_measurement(partial_results, "quiz") == measurement


@given(st.lists(st.sampled_from(["a", "bb", "cc", "ddd", "eeee"]), max_size=40), st.integers(1, 4))
def test_pieces_hold_every_request_once_and_no_context_is_torn(contexts: list[str], size: int) -> None:
    pieces = cut(contexts, size)
    assert sorted(index for piece in pieces for index in piece) == list(range(len(contexts)))
    held = [{contexts[index] for index in piece} for piece in pieces]
    assert all(len(some) == size for some in held[:-1])
    assert sum(map(len, held)) == len(set(contexts))
    lengths = [len(contexts[index]) for piece in pieces for index in piece]
    assert lengths == sorted(lengths, reverse=True)


def test_a_kill_loses_no_more_replies_than_the_pace_allows(
    partial_results: DirectoryPartialResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.0]
    monkeypatch.setattr(evaluation_cache, "Pace", partial(Pace, clock=lambda: seconds[0]))
    kept = ReplyCache(partial_results, "quiz")
    for number in range(21):
        seconds[0] += 3.0
        kept.ask([number], lambda: ["yes"])
        # Ten seconds, and the batch that was under way.
        for earlier in range(number - 3):
            assert ReplyCache(partial_results, "quiz").ask([earlier], refuse) == ["yes"]
    assert len(partial_results.names()) == 5
