"""Beside KFP's MLflow plugin, whose calls are made here as its source makes them.

In kubeflow/pipelines 2.17: backend/src/apiserver/plugins/mlflow/handler.go (the run of the KFP run),
backend/src/v2/common/plugins/mlflow/handler.go (that of the task, and its batch) and
backend/src/common/plugins/mlflow/client.go (the requests).
"""

import dataclasses
import json
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from storm_core.tracking import Work, track
from tests.tracking.conftest import Server, TrainLikeConfig

pytestmark = pytest.mark.slow
KFP_RUN = "0b1c2d3e-1111-2222-3333-444455556666"


class Plugin:
    """What KFP's API server, driver and launcher ask of MLflow for a run with one task."""

    def __init__(self, url: str, experiment: str) -> None:
        self.url = url
        self.experiment = self.post("experiments/create", name=experiment)["experiment_id"]
        tags = [
            {"key": "kfp.pipeline_run_id", "value": KFP_RUN},
            {"key": "kfp.pipeline_run_url", "value": f"/#/runs/details/{KFP_RUN}"},
            {"key": "mlflow.kfp.idempotencyKey", "value": KFP_RUN},
        ]
        self.parent = self._create("Run of storm", tags)

    def start_task(self, name: str, parent: str | None = None) -> str:
        """The driver makes the task's run."""
        return self._create(name, [{"key": "mlflow.parentRunId", "value": parent or self.parent}])

    def end_task(self, run_id: str, inputs: dict[str, Any], metrics: dict[str, float]) -> None:
        """The launcher logs inputs and metrics in one batch, and ends the run."""
        params = [{"key": name, "value": json.dumps(value)} for name, value in inputs.items()]
        points = [{"key": name, "value": value, "timestamp": 0, "step": 0} for name, value in metrics.items()]
        self.post("runs/log-batch", run_id=run_id, params=params, metrics=points, tags=[])
        self.post("runs/update", run_id=run_id, status="FINISHED", end_time=int(time.time() * 1000))

    def environment(self, task: str | None) -> dict[str, str]:
        """What the task's container gets; without `task`, where the plugin may not set users' variables."""
        config = {"endpoint": self.url, "parentRunId": self.parent, "experimentId": self.experiment}
        variables = {"KFP_MLFLOW_CONFIG": json.dumps({**config, "authType": "none", "timeout": "30s"})}
        if task:
            variables |= {"MLFLOW_RUN_ID": task, "MLFLOW_TRACKING_URI": self.url}
            variables |= {"MLFLOW_EXPERIMENT_ID": self.experiment}
        return variables

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """One call of the REST API."""
        url, headers = f"{self.url}/api/2.0/mlflow/{path}", {"Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 (these tests' server)
        with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310
            answer: dict[str, Any] = json.loads(reply.read())
        return answer

    def _create(self, name: str, tags: list[dict[str, str]]) -> str:
        now = int(time.time() * 1000)
        made = self.post("runs/create", experiment_id=self.experiment, run_name=name, start_time=now, tags=tags)
        return str(made["run"]["info"]["run_id"])


@pytest.fixture
def plugin(shared_server: Server, request: pytest.FixtureRequest) -> Plugin:
    return Plugin(shared_server.url, request.node.name)


def stage(directory: Path) -> None:
    work = Work(verb="train", task="train", key="key", inputs={"model": ["d" * 64]})
    with track(work, TrainLikeConfig(), None, directory) as run:
        run.log_metrics({"loss": 2.0}, step=1)
        run.log_metrics({"loss": 1.0}, step=2)
        run.log_results({"train_loss": 1.0, "tokens_trained": 61440})


def inputs() -> dict[str, Any]:
    return {**dataclasses.asdict(TrainLikeConfig()), "run_name": "Run of storm"}


def test_run_of_the_task_holds_both_sets_of_metrics_and_kfps_status(
    plugin: Plugin, shared_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = plugin.start_task("train")
    for name, value in plugin.environment(task).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STORM_KFP_RUN_ID", KFP_RUN)
    stage(tmp_path)
    client = shared_server.client()
    assert client.get_run(task).info.status == "RUNNING", "KFP ends it"
    plugin.end_task(task, inputs(), {"train_loss": 1.0, "of_the_plugin": 3.0})
    run = client.get_run(task)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"loss": 1.0, "train_loss": 1.0, "tokens_trained": 61440, "of_the_plugin": 3.0}
    assert [point.value for point in client.get_metric_history(task, "loss")] == [2.0, 1.0]
    assert run.data.params["learning_rate"] == run.data.params["storm.learning_rate"] == "0.1"
    assert run.data.tags["storm.input.model"] == "d" * 64
    parent = client.get_run(plugin.parent)
    assert parent.info.status == "RUNNING"
    assert parent.data.metrics == {"tokens_trained": 61440}
    assert parent.data.params["storm.train_learning_rate"] == "0.1"
    assert len(client.search_runs([plugin.experiment])) == 2


def test_run_is_made_below_the_plugins_where_the_task_was_told_of_no_run(
    plugin: Plugin, shared_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in plugin.environment(None).items():
        monkeypatch.setenv(name, value)
    stage(tmp_path)
    client = shared_server.client()
    (run,) = [one for one in client.search_runs([plugin.experiment]) if one.info.run_id != plugin.parent]
    assert run.data.tags["mlflow.parentRunId"] == plugin.parent
    assert run.info.status == "FINISHED"
    assert client.get_run(plugin.parent).info.status == "RUNNING"
    assert client.get_run(plugin.parent).data.metrics == {"tokens_trained": 61440}


def test_headlines_of_a_task_in_a_loop_go_to_the_topmost_run(
    plugin: Plugin, shared_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = plugin.start_task("train", parent=plugin.start_task("for-loop-1"))
    variables = plugin.environment(task)
    del variables["KFP_MLFLOW_CONFIG"]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stage(tmp_path)
    assert shared_server.client().get_run(plugin.parent).data.metrics == {"tokens_trained": 61440}


def test_the_plugins_batch_is_refused_where_a_name_has_another_text(plugin: Plugin, shared_server: Server) -> None:
    """Why no option is logged under its own name: the plugin's metrics would be lost with the batch."""
    task = plugin.start_task("train")
    shared_server.client().log_param(task, "packing", "True")
    with pytest.raises(HTTPError) as refusal:
        plugin.end_task(task, inputs(), {"train_loss": 1.0})
    refusal.value.close()
    assert refusal.value.code == 400


def test_plugin_of_another_server_is_left_alone(
    plugin: Plugin, database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KFP_MLFLOW_CONFIG", plugin.environment(None)["KFP_MLFLOW_CONFIG"])
    stage(tmp_path)
    (experiment,) = [one for one in database.search_experiments() if one.name == "storm"]
    (run,) = database.search_runs([experiment.experiment_id])
    assert run.data.params["learning_rate"] == "0.1"
