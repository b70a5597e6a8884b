"""What a stage tells KFP, in the form in which KFP 2.17 asks for it."""

import json
from pathlib import Path
from typing import Any

import pytest

from storm_core.cli import main
from storm_core.manifest import read_manifest


def listed(name: str, kind: str) -> dict[str, Any]:
    uri = f"minio://mlpipeline/v2/artifacts/storm/{name}"
    return {"artifacts": [{"name": name, "type": {"schemaTitle": kind, "schemaVersion": "0.0.1"}, "uri": uri}]}


@pytest.fixture
def told(tmp_path: Path, tiny_llama: Path) -> dict[str, Any]:
    """The output artifacts that `scan` names when KFP lists one more than it declares."""
    artifacts = {
        "scan": listed("scan", "system.Artifact"),
        "metrics": listed("metrics", "system.Metrics"),
        "page": listed("page", "system.HTML"),
        "executor-logs": listed("executor-logs", "system.Artifact"),
        "not-made-yet": {"artifacts": []},
    }
    executor_input = {"outputs": {"artifacts": artifacts, "outputFile": str(tmp_path / "task" / "output.json")}}
    arguments = ["scan", "--model", str(tiny_llama), "--scan", str(tmp_path / "scan")]
    assert main([*arguments, "--executor-input", json.dumps(executor_input)]) == 0
    found: dict[str, Any] = json.loads((tmp_path / "task" / "output.json").read_text())["artifacts"]
    return found


def test_outputs_that_the_stage_does_not_know_are_left_alone(told: dict[str, Any]) -> None:
    assert set(told) == {"scan", "metrics", "page"}
    assert told["page"]["artifacts"][0]["metadata"] == {}


def test_artifact_carries_its_digest_and_place_and_keeps_what_kfp_said(told: dict[str, Any], tmp_path: Path) -> None:
    (artifact,) = told["scan"]["artifacts"]
    digest = read_manifest(tmp_path / "scan" / "manifest.json").digest
    assert artifact == {**listed("scan", "system.Artifact")["artifacts"][0], "metadata": artifact["metadata"]}
    assert artifact["metadata"] == {"digest": digest, "store_uri": ""}


def test_metrics_are_the_numbers_of_the_stage_and_nothing_else(told: dict[str, Any], tmp_path: Path) -> None:
    (artifact,) = told["metrics"]["artifacts"]
    assert artifact["metadata"] == read_manifest(tmp_path / "scan" / "manifest.json").metrics
    assert artifact["metadata"]
    assert all(type(value) in (int, float) for value in artifact["metadata"].values())
