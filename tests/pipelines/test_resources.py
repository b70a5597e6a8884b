"""What a cluster is asked for comes from a benchmark that measures every task."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.pipelines.conftest import ROOT

BENCHMARK = ROOT / "benchmarks" / "resources.py"
# Takes memory and time: 200 MB, and half a second of one processor.
COMMAND = (
    "import time; taken = b'x' * 200_000_000; end = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
)


def measured(directory: Path, task: str, code: str) -> "subprocess.CompletedProcess[bytes]":
    environment = {**os.environ, "STORM_MEASURED": str(directory / "measured"), "STORM_TASK_NAME": task}
    command = [sys.executable, str(BENCHMARK), "--measure", sys.executable, "-c", code]
    return subprocess.run(command, env=environment, check=False)


def test_benchmark_measures_memory_and_processors_of_what_it_starts(tmp_path: Path) -> None:
    assert measured(tmp_path, "train", COMMAND).returncode == 0
    figures = json.loads((tmp_path / "measured").read_text())
    assert figures["task"] == "train"
    assert 200 < figures["peak_megabytes"] < 400
    assert 0.5 <= figures["processor_seconds"] < figures["seconds"] + 0.5


def test_benchmark_ends_as_the_stage_did(tmp_path: Path) -> None:
    assert measured(tmp_path, "train", "raise SystemExit(3)").returncode == 3
