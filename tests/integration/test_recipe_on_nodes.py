"""The compiled recipe whose profile has `training_nodes`: `train` makes a TrainJob, and `merge` takes its model."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from storm_core.stores.references import open_reference
from tests.integration.cluster import Cluster
from tests.integration.conftest import BUCKET, SERVICE_ACCOUNT, Servers, compile_executors
from tests.integration.pods import Walk, run_compiled
from tests.integration.trainings import Trainings

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

# Of its own, so that nothing which the other tests leave is found again.
STORE = f"s3://{BUCKET}/nodes"
# Two processes take two batches an update.
TRAINING = {
    "train_epochs": 2.0,
    "train_gradient_accumulation_steps": 2,
    "register_registered_model_name": "trained-on-nodes",
}
PROFILE = {
    "default": {"cpu_request": "300m", "memory_request": "256Mi", "cpu_limit": 1},
    "tasks": {"train": {"timeout_hours": 1}},
    "training_nodes": {
        "count": 2,
        "cpu_request": "300m",
        "cpu_limit": 1,
        "memory_request": "700Mi",
        "memory_limit": "3Gi",
    },
}


@dataclass(frozen=True)
class OnNodes:
    """The recipe as it ran, and the TrainJob of its training as it was at the end."""

    walk: Walk
    job: dict[str, Any]

    def output(self, task: str, name: str) -> dict[str, Any]:
        """What the pod of a task told KFP of one of its outputs."""
        (ended,) = (ended for ended in self.walk.ended if ended.task == task)
        (artifact,) = ended.executor_output["artifacts"][name]["artifacts"]
        found: dict[str, Any] = artifact["metadata"]
        return found


@pytest.fixture(scope="module")
def on_nodes(
    cluster: Cluster, trainings: Trainings, recipe: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OnNodes]:
    """The compiled recipe, each task a pod, and its training one on two nodes besides."""
    directory = tmp_path_factory.mktemp("nodes")
    (directory / "logs").mkdir()
    profile, longer, compiled = (directory / name for name in ("profile.yaml", "longer.yaml", "storm.yaml"))
    profile.write_text(yaml.safe_dump(PROFILE), encoding="utf-8")
    arguments = yaml.safe_load(recipe.read_text(encoding="utf-8")) | TRAINING
    longer.write_text(yaml.safe_dump(arguments), encoding="utf-8")
    executors = compile_executors(longer, compiled, "--profile", str(profile), "--store", STORE)
    walk = Walk(cluster=cluster, executors=executors, service_account=SERVICE_ACCOUNT, logs=directory / "logs")
    run_compiled(compiled, walk, directory / "kfp")
    (job,) = trainings.jobs().values()
    yield OnNodes(walk, job)
    trainings.delete_job(job["metadata"]["name"])


def test_compiled_train_makes_a_train_job_of_the_profile_s_nodes_and_follows_it_to_its_end(
    on_nodes: OnNodes, trainings: Trainings
) -> None:
    name = on_nodes.job["metadata"]["name"]
    assert {one["type"] for one in on_nodes.job["status"]["conditions"] if one["status"] == "True"} >= {"Complete"}
    assert on_nodes.job["spec"]["activeDeadlineSeconds"] == 3600
    nodes = trainings.nodes(name)
    assert {number: pod["status"]["phase"] for number, pod in nodes.items()} == {"0": "Succeeded", "1": "Succeeded"}
    (log,) = (path.read_text(encoding="utf-8") for path in on_nodes.walk.logs.glob("train-*.log"))
    assert f"made TrainJob {name}" in log
    assert log.count("train_loss=") == 2, "of the component, and of node 0"


def test_merge_takes_the_model_that_the_nodes_left_in_the_store(on_nodes: OnNodes, as_user: Servers) -> None:
    tuned = on_nodes.output("train", "tuned_model")
    assert tuned["store_uri"].startswith(f"{STORE}/model/")
    ran = [ended.task for ended in on_nodes.walk.ended]
    assert set(ran) == set(on_nodes.walk.executors)
    assert ran.index("train") < ran.index("merge") < ran.index("register")
    merged = open_reference(on_nodes.output("merge", "merged_model")["store_uri"])
    assert tuned["digest"] in chain.from_iterable(merged.manifest.inputs.values())


def test_numbers_of_the_nodes_are_in_the_run_of_the_component(on_nodes: OnNodes, as_user: Servers) -> None:
    tracking = MlflowClient()
    experiments = [one.experiment_id for one in tracking.search_experiments()]
    runs = tracking.search_runs(experiments, f"tags.`kfp.pipeline_run_id` = '{on_nodes.walk.run_id}'")
    (parent,) = (run.info.run_id for run in runs)
    mine = f"attributes.run_name = 'train' and tags.`mlflow.parentRunId` = '{parent}'"
    (run,) = tracking.search_runs(experiments, mine)
    assert run.info.status == "FINISHED"
    updates = int(on_nodes.output("train", "metrics")["updates"])
    assert [one.step for one in tracking.get_metric_history(run.info.run_id, "loss")] == list(range(1, updates + 1))
