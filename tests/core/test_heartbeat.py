"""A stage that works for long says so, however little its loops and its libraries say."""

import contextlib
import io
import re
import sys
import time
from collections.abc import Iterator

import pytest

from storm_core.heartbeat import Activity, activity, describe, heartbeat, in_words
from storm_core.line_stream import LineStream
from storm_core.progress import byte_progress, progress, report

INTERVAL = 0.1


@pytest.fixture
def log() -> io.StringIO:
    """What standard error gets, which is no terminal."""
    return io.StringIO()


@contextlib.contextmanager
def watched(name: str, log: io.StringIO) -> Iterator[None]:
    with contextlib.redirect_stderr(LineStream(log)), heartbeat(name, seconds=INTERVAL):
        yield


def lines_of(log: io.StringIO) -> list[str]:
    text = log.getvalue()
    assert "\r" not in text
    lines = text.splitlines()
    assert all(len(line) < 160 for line in lines), lines
    return lines


def test_a_long_loop_writes_a_line_an_interval(log: io.StringIO) -> None:
    with watched("scan", log):
        for _ in progress(range(8), total=8, description="scan", unit="matrices"):
            time.sleep(INTERVAL)
    lines = lines_of(log)
    assert len(lines) >= 6
    assert any(re.match(r"scan: scan: \d of 8 matrices, ", line) for line in lines)
    assert lines[-1].endswith(" s so far")


def test_one_long_step_writes_a_line_an_interval(log: io.StringIO) -> None:
    with watched("train", log), activity("load the model"):
        time.sleep(4.5 * INTERVAL)
    assert lines_of(log) == 4 * ["train: load the model: 0 s so far"]


def test_activities_within_others_are_told_with_them(log: io.StringIO) -> None:
    with watched("evaluate", log), activity("gsm8k"):
        for _ in progress(range(2), total=2, description="generate", unit="batches"):
            time.sleep(1.5 * INTERVAL)
        time.sleep(1.5 * INTERVAL)
    first, *_, last = lines_of(log)
    assert first == "evaluate: gsm8k: generate: 0 s so far"
    assert last == "evaluate: gsm8k: 0 s so far"


def test_the_bar_of_a_library_says_how_far_it_is(log: io.StringIO) -> None:
    with watched("evaluate", log), activity("gsm8k"):
        sys.stderr.write("\rBuilding contexts:  45%|####5     | 18/40 [00:10<00:12, 1.8it/s]")
        time.sleep(1.5 * INTERVAL)
    assert lines_of(log) == ["evaluate: gsm8k: Building contexts 18/40, 0 s so far"]


def test_a_task_that_speaks_is_left_alone(log: io.StringIO) -> None:
    with watched("scan", log):
        for number in range(10):
            report(f"line {number}")
            time.sleep(INTERVAL / 3)
    assert lines_of(log) == [f"line {number}" for number in range(10)]


def test_bytes_are_told_with_their_rate(log: io.StringIO) -> None:
    with watched("scan", log), byte_progress(4_000_000_000, "fetching model abc") as advance:
        advance(1_000_000_000)
        time.sleep(1.5 * INTERVAL)
    (line,) = lines_of(log)
    assert line.startswith("scan: fetching model abc: 1.0 of 4.0 GB, ")


def test_a_name_of_any_length_makes_no_long_line(log: io.StringIO) -> None:
    with watched("t" * 100, log), activity("x" * 1000):
        time.sleep(1.5 * INTERVAL)
    assert len(lines_of(log)) == 1


def test_where_a_person_watches_nothing_is_written() -> None:
    terminal = io.StringIO()
    with contextlib.redirect_stderr(terminal), heartbeat("scan", seconds=0.01):
        time.sleep(0.05)
    assert terminal.getvalue() == ""


def test_a_loop_that_is_left_is_no_longer_told(log: io.StringIO) -> None:
    with watched("scan", log):
        loop = progress(range(9), total=9, description="scan", unit="matrices")
        next(loop)
        with activity("write"):
            loop.close()  # type: ignore[attr-defined]  # A generator is.
            time.sleep(1.5 * INTERVAL)
    assert lines_of(log) == ["scan: write: 0 s so far"]


def test_times_are_told_as_a_person_does() -> None:
    now = time.monotonic()
    assert in_words(59.6) == "1 min 0 s"
    assert in_words(200) == "3 min 20 s"
    assert in_words(7500) == "2 h 5 min"
    assert describe([], "", now - 61) == "at work, 1 min 1 s so far"
    assert (
        describe([Activity("merge", "3 of 9 tensors", now - 61)], "", now) == "merge: 3 of 9 tensors, 1 min 1 s so far"
    )
