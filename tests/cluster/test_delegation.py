"""`storm train` that is to train on nodes, where it cannot: one line that says what is missing."""

import json
import os
import subprocess
import sys
from pathlib import Path

from storm_core.cluster.inputs import named_input
from storm_core.cluster.nodes import NODES_VARIABLE
from storm_core.stores.references import open_store


def train(directory: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """`storm train` on inputs that are a file each."""
    command = [sys.executable, "-m", "storm_core.cli", "train"]
    for name in ("model", "selection", "scan"):
        (directory / name).mkdir()
        (directory / name / "file").write_text(name, encoding="utf-8")
        command += [f"--{name}", str(directory / name)]
    command += ["--tuned-model", str(directory / "out"), "--training", str(directory / "course")]
    settings = {NODES_VARIABLE: '{"count": 2}', "KUBECONFIG": str(directory / "none")}
    environment = {name: value for name, value in os.environ.items() if name not in ("STORM_STORE", "HOSTNAME")}
    return subprocess.run(
        command, env={**environment, **settings, **variables}, capture_output=True, text=True, check=False
    )


def test_nodes_without_a_store_that_all_reach_are_refused(tmp_path: Path) -> None:
    finished = train(tmp_path)
    assert finished.returncode == 1
    assert finished.stderr.splitlines()[-1] == (
        "storm train: error: training on nodes needs a store that all of them reach: set STORM_STORE to "
        "s3://bucket/prefix"
    )


def test_nodes_without_a_cluster_are_refused_and_inputs_of_this_machine_are_in_the_store(tmp_path: Path) -> None:
    finished = train(tmp_path, STORM_STORE=f"file://{tmp_path}/store")
    assert finished.returncode == 1
    assert "storm train: error: no Kubernetes to train on: " in finished.stderr.splitlines()[-1]
    assert "Traceback" not in finished.stderr
    assert sorted(path.name for path in (tmp_path / "store").iterdir() if path.name[0] != ".") == [
        "model",
        "scan",
        "selection",
    ]


def test_input_that_lies_in_the_store_is_named_and_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "file").write_text("weights", encoding="utf-8")
    store = open_store(f"file://{tmp_path}/store")
    first = named_input(store, str(tmp_path / "model"), "model")
    (handed_on := tmp_path / "handed_on").mkdir()
    place = Path(first.reference.removeprefix("file://"))
    manifest = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
    (handed_on / "manifest.json").write_text(json.dumps({**manifest, "uri": first.reference}), encoding="utf-8")
    (place / "file").unlink()  # Whoever opened it would see.
    assert named_input(store, str(handed_on), "model").reference == first.reference
