"""What `tests/integration/test_on_kubeflow_pipelines.py` asks by, against stand-ins: its own server is rarely there."""

import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipelines.__main__ import main
from pipelines.s3_server import S3Server
from storm_core.artifact_commands.transfer import with_kind
from storm_core.artifacts import open_directory
from storm_core.stores.references import open_store, stored_artifact
from tests.integration import test_on_kubeflow_pipelines
from tests.integration.conftest import read_executors
from tests.integration.kubeflow_run import (
    VARIABLES,
    Place,
    kept_by_kfp,
    mlflow_runs,
    place_in,
    results,
    submit,
)
from tests.pipelines.kfp_server import KfpServer
from tests.pipelines.kfp_state import AtOnce, Course
from tests.pipelines.submitting import ROOT, STORE, recipe, s3, settings
from tests.s3_clients import administrator

__all__ = ["recipe", "s3", "settings"]

SUITE = "tests/integration/test_on_kubeflow_pipelines.py"
RUN = "0f7d4b5e-1111-4222-8333-944455566677"


def there(kfp: KfpServer) -> Place:
    return Place(
        host=kfp.address,
        flags=("--store", STORE, "--allow-local-images", "--tracking-uri", "http://mlflow:5000"),
        artifacts="s3://models/v2/artifacts",
    )


@pytest.mark.slow
def test_suite_that_is_chosen_fails_where_nothing_says_where_kfp_is() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "kfp", SUITE]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    chosen = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert chosen.returncode == 1
    assert "not set: STORM_KFP_HOST (the address of Kubeflow Pipelines)" in chosen.stdout
    assert re.search(r"^5 errors in ", chosen.stdout, re.M), chosen.stdout


def test_suite_is_not_chosen_by_others() -> None:
    assert test_on_kubeflow_pipelines.pytestmark.name == "kfp"
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    assert " and not kfp and " in settings["addopts"]
    assert "\nCLUSTER_TESTS ?= cluster\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("variable", VARIABLES)
def test_variable_that_is_not_set_is_named(variable: str) -> None:
    environment = {**dict.fromkeys(VARIABLES, "http://here"), variable: ""}
    with pytest.raises(AssertionError, match=rf"^not set: {variable} \("):
        place_in(environment)


def test_place_has_the_flags_as_a_shell_reads_them() -> None:
    flags = "--store s3://a/b --mlflow-secret 'one two'"
    place = place_in({**dict.fromkeys(VARIABLES, "s3://x/y"), "STORM_KFP_FLAGS": flags})
    assert place.flags == ("--store", "s3://a/b", "--mlflow-secret", "one two")


@pytest.mark.slow
def test_tasks_of_a_run_are_those_of_the_compiled_recipe(recipe: Path, tmp_path: Path) -> None:
    with KfpServer(AtOnce()) as kfp:
        submitted = submit(there(kfp), recipe)
    assert list(kfp.state.runs) == [submitted.run_id]
    assert main(["compile", "--recipe", str(recipe), "--output", str(tmp_path / "storm.yaml")]) == 0
    assert {name for name, _ in submitted.tasks} == set(read_executors(tmp_path / "storm.yaml"))
    assert {state for _, state in submitted.tasks} == {"succeeded"}


@pytest.mark.slow
def test_run_that_failed_fails_the_test_with_what_was_told(recipe: Path) -> None:
    with KfpServer(AtOnce()) as kfp, pytest.raises(AssertionError, match="no space left"):
        kfp.state.courses = [Course(failing={"fetch": "no space left"})]
        submit(there(kfp), recipe)


def test_files_of_a_run_are_found_by_task_and_lead_to_the_store(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("some")
    model = with_kind(open_directory(tmp_path / "model"), "model", "model")
    store = open_store(STORE)
    store.publish_copy(tmp_path / "model", model)
    handed_on = replace(model, uri=store.artifact(model.kind, model.digest).location.uri)
    client = administrator(s3)
    for run, task, path, body in [
        (RUN, "merge", "merged_model/manifest.json", handed_on.to_json()),
        (RUN, "merge", "page", "<html>"),
        (RUN, "merge", "executor-logs", "merge: starts"),
        ("another-run", "merge", "merged_model/manifest.json", "{}"),
    ]:
        client.put_object(Bucket="models", Key=f"v2/artifacts/storm-tiny/{run}/{task}/0a1b/{path}", Body=body.encode())
    place = Place(host="", flags=(), artifacts="s3://models/v2/artifacts")
    kept = kept_by_kfp(place, RUN)
    assert {(one.task, one.path) for one in kept} == {
        ("merge", "merged_model/manifest.json"),
        ("merge", "page"),
        ("merge", "executor-logs"),
    }
    ((task, manifest),) = results(place, kept)
    assert (task, manifest) == ("merge", handed_on)
    stored = stored_artifact(str(manifest.uri))
    assert stored and stored.check().digest == model.digest


def test_runs_of_mlflow_are_those_below_the_one_of_the_kfp_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    tracking = MlflowClient()
    experiment = tracking.create_experiment("storm")
    made = {}
    for name, tags in [("smoke", {"kfp.pipeline_run_id": RUN}), ("other", {"kfp.pipeline_run_id": "another"})]:
        made[name] = tracking.create_run(experiment, run_name=name, tags=tags).info.run_id
    for name, above in [("merge", "smoke"), ("gate", "smoke"), ("merge", "other")]:
        tracking.create_run(experiment, run_name=name, tags={"mlflow.parentRunId": made[above]})
    parent, runs = mlflow_runs(RUN)
    assert parent.info.run_id == made["smoke"]
    assert sorted(run.info.run_name for run in runs) == ["gate", "merge"]
