"""A stage that is told to stop, in a process of its own, and what its log lines look like."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from storm_core.stopping import Stopped, in_one_piece, stop_in_order
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
STAGE = """
import logging, sys, time, warnings
from dataclasses import dataclass
from pathlib import Path
from storm_core.config import StageConfig, option
from storm_core.errors import InputError
from storm_core.progress import report
from storm_core.stage import Output, Results, Stage

@dataclass(frozen=True, kw_only=True)
class SleepConfig(StageConfig):
    mode: str = option("what to do", "sleep")

def run(config, inputs, outputs):
    (outputs["dream"] / "half.txt").write_text("half")
    report("falling asleep")
    if config.mode == "sleep":
        for _ in range(600):
            time.sleep(0.1)
    if config.mode == "tidy":
        try:
            time.sleep(60)
        finally:
            report("tidying up")
            time.sleep(60)
    if config.mode == "swallow":
        class Swallows:
            def __del__(self):
                time.sleep(1)
        one = Swallows()
        del one
        time.sleep(60)
    if config.mode == "import":
        try:
            time.sleep(60)
        except SystemExit as error:
            raise ImportError("initialization failed") from error
    if config.mode == "refuse":
        raise InputError("not tired")
    if config.mode == "defect":
        raise ZeroDivisionError("a nightmare")
    logging.getLogger("library").warning("snoring\\nloudly")
    warnings.warn("it is late")
    sys.stderr.write("\\rdreams: 1 of 2\\rdreams: 2 of 2\\n")
    sys.stderr.write("yawn")
    return Results()

SLEEP = Stage(verb="sleep", summary="Sleep.", config=SleepConfig, inputs={},
              outputs={"dream": Output(kind="dream", help="a dream")}, run="sleeping:run")
"""
# A hang-up is ignored below `nohup`, as these tests may be.
PROGRAM = (
    "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); from storm_core import cli; "
    "cli.STAGES['sleep'] = 'sleeping:SLEEP'; sys.exit(cli.main())"
)


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "sleeping.py").write_text(STAGE)
    return [sys.executable, "-c", PROGRAM, "sleep", "--dream", str(tmp_path / "out" / "dream")]


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STORM_", "MLFLOW_"))}
    return {**kept, "PYTHONPATH": f"{ROOT}:{tmp_path}", **more}


def stop_when_asleep(process: "subprocess.Popen[str]", number: signal.Signals = signal.SIGTERM) -> str:
    """Send the signal once the stage is at work; gives the rest of what it says."""
    assert process.stderr
    assert "starts" in process.stderr.readline()
    assert "falling asleep" in process.stderr.readline()
    time.sleep(0.3)  # Python may miss a signal in the moment in which it falls asleep.
    process.send_signal(number)
    _, rest = process.communicate(timeout=20)
    return rest


LINE = "storm sleep: stopped ({}); nothing half-written is left, and the same command can be run again"


@pytest.mark.parametrize(
    ("number", "mode"),
    [(signal.SIGINT, "sleep"), (signal.SIGHUP, "sleep"), (signal.SIGINT, "swallow"), (signal.SIGINT, "import")],
)
def test_ctrl_c_and_a_closed_terminal_stop_in_order_whatever_becomes_of_the_stop(
    command: list[str], tmp_path: Path, number: signal.Signals, mode: str
) -> None:
    with subprocess.Popen(
        [*command, "--mode", mode], env=environment(tmp_path), stderr=subprocess.PIPE, text=True
    ) as process:
        rest = stop_when_asleep(process, number)
    assert process.returncode == 128 + number
    assert rest.splitlines() == [LINE.format(number.name)]
    assert list((tmp_path / "out").iterdir()) == []


def test_second_ctrl_c_ends_at_once(command: list[str], tmp_path: Path) -> None:
    with subprocess.Popen(
        [*command, "--mode", "tidy"], env=environment(tmp_path), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        while "falling asleep" not in process.stderr.readline():
            pass
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert "tidying up" in process.stderr.readline()
        time.sleep(0.6)
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert rest == ""


def test_same_stop_that_comes_twice_at_once_is_one(command: list[str], tmp_path: Path) -> None:
    with subprocess.Popen(command, env=environment(tmp_path), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        while "falling asleep" not in process.stderr.readline():
            pass
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=20)
    assert process.returncode in (130, 143)
    assert len(rest.splitlines()) == 1


def test_signal_that_was_ignored_stays_so() -> None:
    code = """
import os, signal
from storm_core.stopping import stop_in_order
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with stop_in_order():
    os.kill(os.getpid(), signal.SIGHUP)
    print("at work")
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert finished.stdout == "at work\n"


def test_what_is_short_is_not_cut_by_a_stop() -> None:
    done = []
    with pytest.raises(Stopped) as stopped, stop_in_order(), in_one_piece():
        os.kill(os.getpid(), signal.SIGINT)
        done.append(True)
    assert done == [True]
    assert stopped.value.code == 130


def test_stage_ends_with_the_process_that_started_it(command: list[str], tmp_path: Path) -> None:
    parent = f"""
import os, subprocess, time
from storm_core.parent import with_this_parent
stage = subprocess.Popen({command!r}, env={{**os.environ, **with_this_parent()}})
print(stage.pid, flush=True)
time.sleep(60)
"""
    lines = tmp_path / "lines"
    with (
        lines.open("w") as stream,
        subprocess.Popen(
            [sys.executable, "-c", parent],
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        ) as process,
    ):
        assert process.stdout
        process.stdout.readline()
        wait_for(lambda: "falling asleep" in lines.read_text(), seconds=20)
        process.kill()
    wait_for(lambda: LINE.format("SIGTERM") in lines.read_text(), seconds=20)
    assert list((tmp_path / "out").iterdir()) == []


def test_stage_told_to_stop_leaves_nothing_half_written_and_exits_with_143(command: list[str], tmp_path: Path) -> None:
    tracking = f"sqlite:///{tmp_path}/mlflow.db"
    variables = environment(tmp_path, MLFLOW_TRACKING_URI=tracking)
    with subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True) as process:
        started = time.monotonic()
        assert process.stderr
        while "falling asleep" not in (line := process.stderr.readline()):
            assert line, "the stage ended before it began"
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=20)
    assert process.returncode == 143
    assert time.monotonic() - started < 50, "it slept on"
    assert rest.splitlines() == [
        "storm sleep: stopped (SIGTERM); nothing half-written is left, and the same command can be run again"
    ]
    assert list((tmp_path / "out").iterdir()) == []
    client = MlflowClient(tracking)
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert run.info.status == "KILLED"


def test_log_lines_as_json_are_one_object_each_whatever_wrote_them(command: list[str], tmp_path: Path) -> None:
    variables = environment(tmp_path, STORM_LOG_FORMAT="json", STORM_TASK_NAME="nap")
    finished = subprocess.run([*command, "--mode", "wake"], env=variables, capture_output=True, text=True, check=False)
    assert finished.returncode == 0
    events = [json.loads(line) for line in finished.stderr.splitlines()]
    assert [event["level"] for event in events] == ["info", "info", "warning", "warning", "info", "info", "info"]
    assert {event["task"] for event in events} == {"nap"}
    first, *messages = [event["message"] for event in events]
    assert first == "nap: starts  mode=wake"
    assert messages[1] == "library: snoring\nloudly"
    assert messages[3] == "dreams: 2 of 2"
    assert messages[-1] == "yawn"
    assert all(event["time"].endswith("+00:00") for event in events)


@pytest.mark.parametrize(
    ("mode", "level", "words"), [("refuse", "error", "not tired"), ("defect", "critical", "a nightmare")]
)
def test_errors_as_json_are_one_object_too(
    command: list[str], tmp_path: Path, mode: str, level: str, words: str
) -> None:
    variables = environment(tmp_path, STORM_LOG_FORMAT="json")
    finished = subprocess.run([*command, "--mode", mode], env=variables, capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    last = json.loads(finished.stderr.splitlines()[-1])
    assert last["level"] == level
    assert words in last["message"]


def test_stop_is_told_as_json_too(command: list[str], tmp_path: Path) -> None:
    variables = environment(tmp_path, STORM_LOG_FORMAT="json")
    with subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True) as process:
        rest = stop_when_asleep(process)
    assert process.returncode == 143
    assert "stopped (SIGTERM)" in json.loads(rest)["message"]


def test_unknown_log_format_is_refused(command: list[str], tmp_path: Path) -> None:
    variables = environment(tmp_path, STORM_LOG_FORMAT="xml")
    finished = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert finished.stderr.strip() == "storm sleep: error: STORM_LOG_FORMAT must be one of text, json, got 'xml'"


def test_another_thread_that_asks_for_a_stop_takes_none_from_the_main_one() -> None:
    entered, leave = threading.Event(), threading.Event()

    def write_in_one_piece() -> None:
        with in_one_piece():
            entered.set()
            leave.wait(20)

    with pytest.raises(Stopped), stop_in_order():
        thread = threading.Thread(target=write_in_one_piece)
        thread.start()
        try:
            assert entered.wait(20)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            leave.set()
            thread.join()
