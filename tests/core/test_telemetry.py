"""A stage asks nobody outside of this machine anything, whatever its libraries would like to report."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storm_core.cli import main
from storm_core.records import Message, make_example, write_examples
from storm_core.telemetry import NO_TELEMETRY, disable_telemetry

ROOT = Path(__file__).parents[2]
# All that the child gets: MLflow keeps quiet by itself where a variable of any CI is set, the hub's client offline.
KEPT = ("HOME", "LANG", "PATH", "PYTHONPATH", "VIRTUAL_ENV")
# Notes every address that the process looks up or connects to, and refuses it as a machine without internet would.
CHILD = """
import socket, sys, threading, time

def watch(event, arguments):
    if event in ("socket.getaddrinfo", "socket.connect"):
        host = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
        host = host[0] if isinstance(host, tuple) else host
        print("asked for", host, flush=True)
        raise OSError("no network here")

sys.addaudithook(watch)
what, code = sys.argv.pop(1), 0
if what == "stage":
    from storm_core.cli import main
    code = main(sys.argv[1:])
if what.startswith("told"):
    from storm_core.telemetry import disable_telemetry
    disable_telemetry()
if what.endswith("mlflow"):
    from mlflow import MlflowClient
    MlflowClient().create_experiment(what)
if what.endswith("datasets"):
    import datasets
    datasets.load_dataset("json", data_files=sys.argv[1], cache_dir=sys.argv[2])
time.sleep(5)
sys.exit(code)
"""


def addresses(tmp_path: Path, *arguments: str) -> list[str]:
    """What the command of a stage, with MLflow on, looked up or connected to."""
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path}/mlflow.db"
    command = [sys.executable, "-c", CHILD, *arguments]
    finished = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return [line for line in finished.stdout.splitlines() if line.startswith("asked for")]


@pytest.mark.nightly
@pytest.mark.parametrize("library", ["mlflow", "datasets"])
def test_library_left_to_itself_asks_outside_and_told_so_nobody(tmp_path: Path, library: str) -> None:
    (tmp_path / "rows.jsonl").write_text('{"question": "Where is rain from?"}\n')
    arguments = (str(tmp_path / "rows.jsonl"), str(tmp_path / "cache"))
    assert addresses(tmp_path, library, *arguments), "this test watches the wrong thing"
    assert addresses(tmp_path, f"told {library}", *arguments) == []


def test_scan_asks_nobody(tmp_path: Path, tiny_llama: Path) -> None:
    assert addresses(tmp_path, "stage", "scan", "--model", str(tiny_llama), "--scan", str(tmp_path / "scan")) == []


@pytest.mark.slow
def test_training_asks_nobody(tmp_path: Path, tiny_llama: Path) -> None:
    turns = [Message(role="user", content="How easy is it?"), Message(role="assistant", content="It is easy.")]
    (tmp_path / "selection").mkdir()
    for split in ("train", "validation"):
        write_examples(tmp_path / "selection" / f"{split}.parquet", [make_example("test", turns)])
    scan, model = str(tmp_path / "scan"), str(tiny_llama)
    assert main(["scan", "--model", model, "--scan", scan]) == 0
    inputs = ["--model", model, "--scan", scan, "--selection", str(tmp_path / "selection")]
    outputs = ["--tuned-model", str(tmp_path / "tuned"), "--training", str(tmp_path / "training")]
    assert addresses(tmp_path, "stage", "train", *inputs, *outputs, "--evaluations", "1") == []


def test_variables_reach_what_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NO_TELEMETRY:
        monkeypatch.delenv(name, raising=False)
    disable_telemetry()
    code = f"import os; print({NO_TELEMETRY!r}.items() <= dict(os.environ).items())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"


@pytest.mark.parametrize("file", ["images/Dockerfile", "Makefile"])
def test_images_and_make_name_the_same_variables(file: str) -> None:
    text = (ROOT / file).read_text()
    for name, value in NO_TELEMETRY.items():
        assert f"{name}={value}" in text or f"export {name} := {value}\n" in text, name
