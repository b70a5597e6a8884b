"""The demo's recipe on a Kubeflow Pipelines that runs: `make test-kfp`. STORM_KFP_HOST and others say where it is.

Nobody has run these yet; what they ask by is tested against stand-ins in `tests/pipelines/test_kubeflow_run.py`.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mlflow import MlflowClient

from pipelines.__main__ import main
from storm_core.manifest import Manifest
from storm_core.stores.references import stored_artifact
from tests.integration.conftest import read_executors
from tests.integration.kfp_pod import LOGS_OUTPUT
from tests.integration.kubeflow_run import Kept, Place, Submitted, kept_by_kfp, mlflow_runs, place_in, results, submit

pytestmark = pytest.mark.kfp

RECIPE = Path(__file__).parents[2] / "recipes" / "smoke.yaml"


class Came(NamedTuple):
    """What came of the run: KFP's files, what tasks handed on, MLflow's runs."""

    kept: list[Kept]
    results: list[tuple[str, Manifest]]
    parent: Any
    runs: list[Any]


@pytest.fixture(scope="module")
def place() -> Place:
    return place_in(os.environ)


@pytest.fixture(scope="module")
def submitted(place: Place) -> Submitted:
    return submit(place, RECIPE)


@pytest.fixture(scope="module")
def came(place: Place, submitted: Submitted) -> Came:
    kept = kept_by_kfp(place, submitted.run_id)
    return Came(kept, results(place, kept), *mlflow_runs(submitted.run_id))


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The tasks of the compiled recipe."""
    compiled = tmp_path_factory.mktemp("compiled") / "storm.yaml"
    assert main(["compile", "--recipe", str(RECIPE), "--output", str(compiled)]) == 0
    return set(read_executors(compiled))


def test_every_task_of_the_recipe_succeeded(submitted: Submitted, names: set[str]) -> None:
    assert {name for name, _ in submitted.tasks} == names
    assert {state for _, state in submitted.tasks} == {"succeeded"}


def test_kfp_keeps_a_page_and_the_log_of_every_task(came: Came) -> None:
    tops = {(one.task, one.path.partition("/")[0]) for one in came.kept}
    tasks = {task for task, _ in tops}
    assert len(tasks) >= len({run.info.run_name for run in came.runs})
    assert {(task, top) for task in tasks for top in ("page", LOGS_OUTPUT)} - tops == set()


def test_what_tasks_handed_on_lies_whole_in_the_store(came: Came) -> None:
    kinds = {manifest.kind for _, manifest in came.results}
    assert {"model", "examples", "verdicts", "selection", "scan", "training", "evaluation", "report"} <= kinds
    for task, manifest in came.results:
        stored = stored_artifact(str(manifest.uri))
        assert stored, f"{task} handed on {manifest.uri}, which is in no store"
        assert stored.check().digest == manifest.digest


def test_every_task_is_a_finished_run_in_mlflow_with_the_numbers_of_its_results(came: Came, names: set[str]) -> None:
    assert {run.info.run_name for run in came.runs} == names
    assert {run.info.status for run in (came.parent, *came.runs)} == {"FINISHED"}
    logged = [run.data.metrics for run in came.runs]
    for task, manifest in came.results:
        numbers = manifest.metrics.items()
        assert any(all(metrics.get(name) == value for name, value in numbers) for metrics in logged), task


def test_merged_model_is_registered_and_the_champion_where_the_gate_passed(came: Came) -> None:
    registry = MlflowClient()
    name = came.parent.data.params["register_registered_model_name"]
    merged = {manifest.uri for task, manifest in came.results if task == "merge"}
    candidate = registry.get_model_version_by_alias(name, "candidate")
    assert candidate.source in merged
    if came.parent.data.metrics["gate_passed"]:
        assert registry.get_model_version_by_alias(name, "champion").version == candidate.version
