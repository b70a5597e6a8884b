"""A training on nodes: what they log is in the run of the component that follows them."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from storm_core.tracking import Work, track
from tests.tracking.conftest import TrainLikeConfig

WORK = Work(verb="train", task="train", key="ab" * 32)


def test_nodes_log_into_the_run_of_their_component(
    database: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with track(WORK, TrainLikeConfig(), None, tmp_path) as component:
        for name, value in component.environment().items():
            monkeypatch.setenv(name, value)
        with track(WORK, TrainLikeConfig(), None, tmp_path) as node:
            node.log_metrics({"loss": 2.5}, step=3)
        component.log_results({"train_loss": 2.0})
    experiments = [one.experiment_id for one in database.search_experiments()]
    (run,) = database.search_runs(experiments)
    assert run.data.metrics == {"loss": 2.5, "train_loss": 2.0}
    assert run.info.status == "FINISHED"


def test_without_mlflow_the_nodes_are_told_of_no_run(tmp_path: Path) -> None:
    with track(WORK, TrainLikeConfig(), None, tmp_path) as component:
        assert component.environment() == {}
