"""What `storm evaluate` writes where its standard error is a pipe, as in a pod."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

LONGEST = 160
FIRST_LINE_SECONDS = 5.0


@pytest.mark.parametrize("form", ["text", pytest.param("json", marks=pytest.mark.nightly)])
def test_evaluate_says_at_once_what_it_does_and_shows_no_library_s_noise(
    form: str, tiny_llama: Path, data: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "storm_core.cli", "evaluate", f"--model={tiny_llama}", f"--data={data}"]
    environment = {**os.environ, "STORM_TASK_NAME": "evaluate-base", "STORM_LOG_FORMAT": form}
    started = time.monotonic()
    with subprocess.Popen(
        [*command, f"--evaluation={tmp_path / 'out'}", "--suite=suite.yaml"],
        stderr=subprocess.PIPE,
        env=environment,
        # lm-eval asks git for a commit, and here is none.
        cwd=tmp_path,
    ) as process:
        assert process.stderr
        first = process.stderr.readline().decode()
        seconds = time.monotonic() - started
        rest = process.stderr.read().decode()
    assert process.returncode == 0, rest
    assert seconds < FIRST_LINE_SECONDS
    assert "evaluate-base: starts  suite=suite.yaml  model: " in first
    assert "\r" not in first + rest
    lines = (first + rest).splitlines()
    if form == "text":
        assert all(len(line) < LONGEST for line in lines), lines
    known = ("evaluate-base: ", "calls: ", "trivia: ")
    messages = [line.partition('"message": "')[2] if form == "json" else line for line in lines]
    assert [message for message in messages if not message.startswith(known)] == []
