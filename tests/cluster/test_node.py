"""What a node runs: torchrun around `storm train`, and an exit code that says whether another attempt makes sense."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storm_core.cluster import node
from storm_core.cluster.exit_codes import FINAL, UNFOLLOWED
from storm_core.cluster.followers import KEY_VARIABLE, UNFOLLOWED_VARIABLE, following
from storm_core.stopping import Stopped
from storm_core.stores.references import open_store

KEY = "ab" * 32


def start(store: Path, *arguments: str, limit: float = 60) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "storm_core.cluster.node", "train", *arguments]
    environment = {**os.environ, **variables(store, limit), "OMP_NUM_THREADS": "1", "PET_NPROC_PER_NODE": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def variables(store: Path, limit: float = 60) -> dict[str, str]:
    """What a TrainJob says to its nodes."""
    return {"STORM_STORE": f"file://{store}", KEY_VARIABLE: KEY, UNFOLLOWED_VARIABLE: str(limit)}


def end(process: "subprocess.Popen[str]") -> tuple[int, str]:
    _, said = process.communicate(timeout=120)
    return process.returncode, said


@pytest.mark.slow
def test_bad_input_ends_for_good_and_is_named(tmp_path: Path) -> None:
    nothing = str(tmp_path / "nothing")
    inputs = [part for name in ("model", "selection", "scan") for part in (f"--{name}", nothing)]
    outputs = ["--tuned-model", str(tmp_path / "model"), "--training", str(tmp_path / "training")]
    code, said = end(start(tmp_path / "store", *inputs, *outputs))
    assert code == FINAL, said
    assert f"bad input: {nothing} does not exist" in said
    assert "Traceback" not in said


def test_node_that_starts_when_nobody_follows_any_more_ends_at_once(tmp_path: Path) -> None:
    with following(open_store(f"file://{tmp_path}/store").ledger, KEY, 1):
        pass
    time.sleep(1.2)
    code, said = end(start(tmp_path / "store", limit=1))
    assert code == UNFOLLOWED
    assert said == "nobody has followed the training for 1 s; its last checkpoint is in the store\n"


def test_node_that_is_told_to_stop_says_so_in_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def is_stopped(*_: object) -> None:
        raise Stopped(signal.SIGTERM, kept=None)

    words = tmp_path / "termination-log"
    words.touch()
    monkeypatch.setattr(node, "_LAST_WORDS", words)
    monkeypatch.setattr(node, "torchrun", is_stopped)
    for name, value in variables(tmp_path / "store").items():
        monkeypatch.setenv(name, value)
    assert node.main(["train"]) == 128 + signal.SIGTERM
    assert words.read_text() == "stopped in order: this node or another one was told to"
    assert capsys.readouterr().err == "", "the training itself has said what is kept"


def test_missing_store_is_one_line(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "STORM_STORE"}
    command = [sys.executable, "-m", "storm_core.cluster.node", "train"]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == FINAL
    assert finished.stderr.startswith("train: error: no store")
    assert len(finished.stderr.splitlines()) == 1
