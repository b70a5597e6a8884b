"""What becomes of what libraries write to standard error where no person watches it."""

import io
import subprocess
import sys
import time

import pytest
from tqdm import tqdm

from storm_core.line_stream import LineStream


@pytest.fixture
def behind() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def stream(behind: io.StringIO) -> LineStream:
    return LineStream(behind)


def test_lines_come_through_as_they_are(stream: LineStream, behind: io.StringIO) -> None:
    print("Traceback:", file=stream)
    print("  File one\n\n    x = 1\nthe rest", file=stream, end="")
    assert behind.getvalue() == "Traceback:\n  File one\n\n    x = 1\n"
    stream.finish()
    assert behind.getvalue().endswith("the rest\n")


@pytest.mark.parametrize("leave", [True, False])
def test_a_bar_becomes_no_line_and_its_state_is_known(leave: bool, stream: LineStream, behind: io.StringIO) -> None:
    bar = tqdm(total=40, desc="Fetching files", file=stream, leave=leave, mininterval=0)
    bar.update(18)
    assert stream.bar == "Fetching files 18/40"
    bar.close()
    stream.finish()
    assert behind.getvalue() == ""


def test_a_bar_without_a_total_has_a_state_too(stream: LineStream, behind: io.StringIO) -> None:
    for _ in tqdm(iter(range(7)), desc="Building contexts", file=stream, mininterval=0):
        pass
    assert stream.bar == "Building contexts 7"
    assert behind.getvalue() == ""


def test_of_what_was_written_over_the_last_state_is_kept(stream: LineStream, behind: io.StringIO) -> None:
    stream.write("10 percent\r20 percent\rdone\n")
    stream.write("a line of another system\r\n")
    assert behind.getvalue() == "done\na line of another system\n"


def test_what_is_drawn_for_hours_is_not_kept_in_memory(stream: LineStream) -> None:
    for number in range(10_000):
        stream.write(f"\r{number} percent")
    assert len(stream._unfinished) < 100


def test_a_line_ends_the_silence_and_a_bar_does_not(stream: LineStream) -> None:
    first = stream.spoke
    time.sleep(0.01)
    stream.write("\r 50%|#####     | 1/2 [00:01<00:01]")
    assert stream.spoke == first
    stream.write_line("a line")
    assert stream.spoke > first
    assert stream.bar == ""


def test_what_is_written_last_is_not_lost_at_the_end_of_a_command() -> None:
    code = "import sys; from storm_core.line_stream import whole_lines\nwith whole_lines(): sys.stderr.write('no end')"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stderr == "no end\n"
