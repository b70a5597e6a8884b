"""The whole graph, every stage for real, on a tiny random Llama."""

import json
import re
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml
from mlflow import MlflowClient

from pipelines.recipes import load_recipe
from pipelines.s3_server import S3Server
from pipelines.submission.plan import REUSED, plan
from storm_core.cli import main
from storm_core.stores.references import open_store
from tests.pipelines.conftest import artifacts, run
from tests.s3_clients import administrator

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def finished(workspace: Path) -> CompletedProcess[str]:
    """The recipe, run to its end with a store on this disk."""
    process = run(workspace)
    assert process.returncode == 0, process.stderr
    return process


@pytest.mark.nightly
def test_every_stage_runs_and_leaves_what_a_person_looks_for(workspace: Path, finished: CompletedProcess[str]) -> None:
    directory = workspace / "runs" / "tiny"
    results = json.loads((directory / "results.json").read_text())
    assert results
    assert "<svg" in (directory / "report.html").read_text()
    assert "Can this judge be trusted?" in (directory / "judge.html").read_text()
    for told in ("report.html", "judge.html", "results.json", "mlflow ui --backend-store-uri=sqlite:///"):
        assert told in finished.stdout
    client = MlflowClient(f"sqlite:///{directory}/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [one for one in runs if "mlflow.parentRunId" not in one.data.tags]
    assert [parent.info.run_name for parent in parents] == ["storm-tiny"]
    numbers = parents[0].data.metrics
    assert {"rows_kept", "tokens_trained", "base_average", "quantized_average", "gate_passed"} <= set(numbers)
    assert parents[0].data.params["train_learning_rate"] == "0.001"
    nested = {
        one.info.run_name: one for one in runs if one.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id
    }
    assert len(runs) == len(nested) + 2, "two score runs share a name, all others are one each"
    assert {
        "fetch-base",
        "prepare",
        "score",
        "audit",
        "scan",
        "train",
        "merge",
        "quantize",
        "evaluate-merged",
        "gate",
    } <= set(nested)
    assert nested["train"].data.params["learning_rate"] == "0.001"
    assert (
        nested["merge"].data.tags["storm.input.base_model"]
        == nested["train"].data.tags["storm.output.tuned_model.digest"]
    )
    check_registered(client, nested["merge"].data.tags["storm.output.merged_model.digest"])


@pytest.mark.nightly
@pytest.mark.usefixtures("finished")
def test_artifacts_in_a_bucket_are_those_of_a_local_store(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    local = workspace / "runs" / "tiny" / "artifacts"
    with S3Server(tmp_path / "server") as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("STORM_CACHE", str(tmp_path / "cache"))
        administrator(server).create_bucket(Bucket="storm")
        process = run(workspace, "runs-s3", STORM_STORE="s3://storm/tiny")
        assert process.returncode == 0, process.stderr
        here, there = artifacts(local.as_uri()), artifacts("s3://storm/tiny")
        for kind in ("model", "examples", "verdicts", "selection", "scan", "training", "evaluation", "decision"):
            assert there[kind] == here[kind], kind
        client = MlflowClient(f"sqlite:///{workspace / 'runs-s3' / 'tiny'}/mlflow.db")
        (model,) = client.search_registered_models()
        source = client.get_model_version_by_alias(model.name, "candidate").source
        assert source is not None and source.startswith("s3://storm/tiny/model/")
        check_lineage(source, capsys)
        monkeypatch.setenv("STORM_CACHE", str(tmp_path / "another-cache"))
        check_nothing_is_computed_again(workspace)


def check_nothing_is_computed_again(workspace: Path) -> None:
    """The same pipeline submitted again, where nothing is known of the first run but the store."""
    finished = run(workspace, "runs-again", STORM_STORE="s3://storm/tiny")
    assert finished.returncode == 0, finished.stderr
    computed = [line.partition(":")[0] for line in finished.stderr.splitlines() if ": done in" in line]
    assert computed == ["register"], "what is written to a server's registry is never taken from the store"


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
    assert merged_digest in (candidate.source or "")
    assert len(client.search_model_versions(f"name='{model.name}'")) == 2


@pytest.mark.nightly
@pytest.mark.usefixtures("finished")
def test_plan_of_what_was_done_reuses_all_but_what_runs_every_time(workspace: Path) -> None:
    local = workspace / "runs" / "tiny" / "artifacts"
    tasks = plan(load_recipe(workspace / "tiny.yaml"), open_store(local.as_uri()))
    assert {task.name for task in tasks if task.work != REUSED} == {"register", "report"}
    assert {task.name for task in tasks if task.verb == "score"} == {"score 0", "score 1"}
    assert all(task.written_bytes and task.read_bytes for task in tasks if task.work == REUSED)


@pytest.mark.nightly
@pytest.mark.usefixtures("finished")
def test_tasks_that_a_recipe_names_are_computed_afresh(workspace: Path) -> None:
    recipe = workspace / "tiny.yaml"
    as_it_was = recipe.read_text()
    recipe.write_text(f"{as_it_was}rerun: [merge, evaluate-merged]\n")
    try:
        process = run(workspace)
    finally:
        recipe.write_text(as_it_was)
    assert process.returncode == 0, process.stderr
    computed = set(re.findall(r"^(?:.* )?(\S+): done in ", process.stderr, re.M))
    assert computed == {"merge", "evaluate-merged", "register"}
    assert "evaluate-tuned: nothing changed, reused an earlier result" in process.stderr


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
