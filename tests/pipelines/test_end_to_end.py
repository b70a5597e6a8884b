"""The whole graph, every stage for real, on a tiny random Llama."""

import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
import yaml
from mlflow import MlflowClient

from storm_core.cli import main
from storm_core.stores.references import open_store
from tests.s3_server import S3Server

ROOT = Path(__file__).parents[2]
BFCL = ROOT / ".data" / "bfcl_eval" / "data"
TOPICS = ["rain", "bread", "glass", "copper", "tides", "yeast", "steel", "maps", "bees", "ink", "salt", "wool"]
SUITE = {
    "dtype": "float32",
    "seeds": {"sample": 0, "random": 0, "numpy": 0, "torch": 0, "fewshot": 0},
    "benchmarks": [
        {
            "name": "simple_python",
            "title": "BFCL simple (Python)",
            "kind": "function_calling",
            "path": "bfcl",
            "categories": ["simple_python"],
            "samples": 3,
            "guidelines": True,
            "batch_size": 3,
            "max_new_tokens": 4,
        }
    ],
}


def first_lines(source: Path, target: Path, count: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(source.read_text(encoding="utf-8").splitlines(keepends=True)[:count]), encoding="utf-8")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path, other_tiny_llama: Path) -> Path:
    workspace = tmp_path_factory.mktemp("workspace")
    data = workspace / "data"
    for category in ("simple_python", "live_simple"):
        for folder in (".", "possible_answer"):
            name = f"{folder}/BFCL_v4_{category}.json"
            first_lines(BFCL / name, data / "bfcl" / name, 8)
    rows = [
        {"messages": [{"role": "user", "content": f"What is {t}?"}, {"role": "assistant", "content": f"It is {t}."}]}
        for t in TOPICS
    ]
    (data / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (data / "suite.yaml").write_text(yaml.safe_dump(SUITE))
    recipe = {
        "base_model": str(tiny_llama),
        "sibling_model": str(other_tiny_llama),
        "data": str(data),
        "prepare_sources": ["chat=messages:chats.jsonl", "tools=bfcl:bfcl#live_simple"],
        "prepare_held_out": ["bfcl:bfcl#simple_python"],
        "prepare_shards": 2,
        "score_min_educational_value": 1.0,
        "select_min_educational_value": 1.0,
        "select_difficulties": ["easy", "medium", "hard"],
        "select_validation_fraction": 0.2,
        "train_epochs": 1.0,
        "train_learning_rate": 1e-3,
        "train_evaluations": 1,
        "evaluate_suite": "suite.yaml",
        "register_registered_model_name": "tiny",
    }
    (workspace / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    return workspace


def run(workspace: Path, runs: str = "runs", **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pipelines", "run", "--recipe", str(workspace / "tiny.yaml")]
    command += ["--runs-directory", str(workspace / runs)]
    variables = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_stage_runs_and_leaves_what_a_person_looks_for(workspace: Path) -> None:
    finished = run(workspace)
    assert finished.returncode == 0, finished.stderr
    directory = workspace / "runs" / "tiny"
    results = json.loads((directory / "results.json").read_text())
    assert results
    assert "<svg" in (directory / "report.html").read_text()
    for told in ("report.html", "results.json", "mlflow ui --backend-store-uri sqlite:///"):
        assert told in finished.stdout
    client = MlflowClient(f"sqlite:///{directory}/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [one for one in runs if "mlflow.parentRunId" not in one.data.tags]
    assert [parent.info.run_name for parent in parents] == ["storm-tiny"]
    nested = {
        one.info.run_name: one for one in runs if one.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id
    }
    assert len(runs) == len(nested) + 2, "two score runs share a name, all others are one each"
    assert {"fetch-base", "prepare", "score", "scan", "train", "merge", "quantize", "evaluate-merged", "gate"} <= set(
        nested
    )
    assert nested["train"].data.params["learning_rate"] == "0.001"
    assert (
        nested["merge"].data.tags["storm.input.base_model"]
        == nested["train"].data.tags["storm.output.tuned_model.digest"]
    )
    check_registered(client, nested["merge"].data.tags["storm.output.merged_model.digest"])


@pytest.mark.slow
def test_artifacts_in_a_bucket_are_those_of_a_local_store(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    local = workspace / "runs" / "tiny" / "artifacts"
    assert local.is_dir(), "the test above ran first"
    with S3Server(tmp_path / "server") as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("STORM_CACHE", str(tmp_path / "cache"))
        boto3.client("s3", endpoint_url=server.endpoint).create_bucket(Bucket="storm")
        finished = run(workspace, "runs-s3", STORM_STORE="s3://storm/tiny")
        assert finished.returncode == 0, finished.stderr
        here, there = artifacts(local.as_uri()), artifacts("s3://storm/tiny")
        for kind in ("model", "examples", "verdicts", "selection", "scan", "training", "evaluation", "decision"):
            assert there[kind] == here[kind], kind
        client = MlflowClient(f"sqlite:///{workspace / 'runs-s3' / 'tiny'}/mlflow.db")
        (model,) = client.search_registered_models()
        source = client.get_model_version_by_alias(model.name, "candidate").source
        assert source.startswith("s3://storm/tiny/model/")
        check_lineage(source, capsys)


def artifacts(store: str) -> dict[str, set[str]]:
    """Digests of the artifacts in a store, by kind."""
    found: dict[str, set[str]] = {}
    for place in open_store(store).places():
        found.setdefault(place.kind, set()).add(place.digest)
    return found


def check_lineage(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    """From the registered model back to what the pipeline was given."""
    capsys.readouterr()
    assert main(["artifact", "lineage", uri, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["verb"] for row in rows} >= {"merge", "train", "scan", "select", "score", "prepare", "fetch"}
    sources = [row for row in rows if row["verb"] is None]
    assert sources
    assert all(Path(row["reference"]).exists() for row in sources), "each source is named by its place"


def check_registered(client: MlflowClient, merged_digest: str) -> None:
    (model,) = client.search_registered_models()
    candidate = client.get_model_version_by_alias(model.name, "candidate")
    assert merged_digest in candidate.tags.values()
    assert merged_digest in candidate.source
    assert len(client.search_model_versions(f"name='{model.name}'")) == 2


@pytest.mark.slow
def test_stage_that_fails_stops_the_run_with_its_own_words(workspace: Path) -> None:
    recipe = yaml.safe_load((workspace / "tiny.yaml").read_text())
    (workspace / "broken").mkdir()
    (workspace / "broken" / "config.json").write_text("{}")
    recipe["base_model"] = str(workspace / "broken")
    (workspace / "tiny.yaml").rename(workspace / "good.yaml")
    try:
        (workspace / "tiny.yaml").write_text(yaml.safe_dump(recipe))
        finished = run(workspace)
    finally:
        (workspace / "good.yaml").rename(workspace / "tiny.yaml")
    assert finished.returncode == 1
    assert "fetch-base: error: " in finished.stderr
    assert "safetensors" in finished.stderr
    assert "the run stopped" in finished.stderr
    assert not (workspace / "runs" / "tiny" / "report.html").exists()
