"""Replies and measurements that survive the process that made them."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_core.evaluation import kept_replies
from storm_core.evaluation.kept_measurements import keep_measurement, read_measurement
from storm_core.evaluation.kept_replies import KeptReplies
from storm_core.evaluation.piecewise import cut
from storm_core.evaluation.scores import Measurement, Sample, Score
from storm_core.stores.parts import DirectoryParts


@pytest.fixture
def parts(tmp_path: Path) -> DirectoryParts:
    return DirectoryParts(tmp_path / "parts")


def refuse() -> list[str]:
    raise AssertionError("asked twice")


def test_what_was_kept_is_not_asked_again(parts: DirectoryParts) -> None:
    first = KeptReplies(parts, "quiz")
    assert first.ask(["a", 1], lambda: ["yes", "\ud800 odd"]) == ["yes", "\ud800 odd"]
    assert first.ask(["b", 1], lambda: [[-math.inf, True], [-0.1, False]]) == [[-math.inf, True], [-0.1, False]]
    first.keep()
    second = KeptReplies(parts, "quiz")
    assert second.ask(["a", 1], refuse) == ["yes", "\ud800 odd"]
    assert second.ask(["b", 1], refuse) == [[-math.inf, True], [-0.1, False]]
    assert second.ask(["a", 2], lambda: ["no"]) == ["no"]
    second.keep()
    assert len(parts.names()) == 2
    assert KeptReplies(parts, "quiz").ask(["a", 2], refuse) == ["no"]


def test_replies_become_a_part_once_enough_time_has_passed(
    parts: DirectoryParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptReplies(parts, "quiz")
    kept.ask(["a"], lambda: ["yes"])
    assert parts.names() == ()
    monkeypatch.setattr(kept_replies, "SECONDS_BETWEEN_PARTS", 0.0)
    kept.ask(["b"], lambda: ["no"])
    assert parts.names() == ("quiz/replies-00000.json",)
    assert KeptReplies(parts, "quiz").ask(["a"], refuse) == ["yes"]


def test_benchmarks_keep_to_their_own_replies(parts: DirectoryParts) -> None:
    kept = KeptReplies(parts, "quiz")
    kept.ask(["a"], lambda: ["yes"])
    kept.keep()
    assert KeptReplies(parts, "quiz_2").ask(["a"], lambda: ["no"]) == ["no"]


def test_altered_part_is_asked_again(parts: DirectoryParts) -> None:
    kept = KeptReplies(parts, "quiz")
    kept.ask(["a"], lambda: ["yes"])
    kept.keep()
    (stored,) = (path for path in parts.root.rglob("*") if path.is_file())
    stored.write_text("{}")
    assert KeptReplies(parts, "quiz").ask(["a"], lambda: ["no"]) == ["no"]


def test_measurement_comes_back_as_it_was(parts: DirectoryParts) -> None:
    measurement = Measurement(
        metric="acc",
        score=Score(value=1 / 3, stderr=None),
        samples=(Sample(id="q-0", prompt="p\u00e9", reply="r", score=0.1, reason=""),),
        others={"f1": Score(value=0.5, stderr=0.1)},
    )
    assert read_measurement(parts, "quiz") is None
    keep_measurement(parts, "quiz", measurement)
    assert read_measurement(parts, "quiz") == measurement


@given(st.lists(st.sampled_from(["a", "bb", "cc", "ddd", "eeee"]), max_size=40), st.integers(1, 4))
def test_pieces_hold_every_request_once_and_no_context_is_torn(contexts: list[str], size: int) -> None:
    pieces = cut(contexts, size)
    assert sorted(index for piece in pieces for index in piece) == list(range(len(contexts)))
    held = [{contexts[index] for index in piece} for piece in pieces]
    assert all(len(some) == size for some in held[:-1])
    assert sum(map(len, held)) == len(set(contexts))
    lengths = [len(contexts[index]) for piece in pieces for index in piece]
    assert lengths == sorted(lengths, reverse=True)
