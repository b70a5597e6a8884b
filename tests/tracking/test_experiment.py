"""The experiment that runs are made in."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from storm_core.tracking import Work, track
from storm_core.tracking.opening import find_experiment
from tests.tracking.conftest import TrainLikeConfig


def test_experiment_that_another_task_makes_meanwhile_is_used(
    database: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = MlflowClient.get_experiment_by_name
    missed: list[str] = []

    def look_too_early(self: MlflowClient, name: str) -> Any:
        """The first look finds none; then the other task makes it."""
        if not missed:
            missed.append(self.create_experiment(name))
            return None
        return look(self, name)

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", look_too_early)
    with track(Work(verb="scan", task="scan"), TrainLikeConfig(), None, tmp_path):
        pass
    (run,) = database.search_runs(missed)
    assert run.info.status == "FINISHED"


def test_experiment_that_was_deleted_is_named_with_what_to_do(
    database: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database.delete_experiment(database.create_experiment("storm"))
    with track(Work(verb="scan", task="scan"), TrainLikeConfig(), None, tmp_path):
        pass
    said = capsys.readouterr().err
    assert "scan: the experiment 'storm' was deleted in MLflow: restore it" in said
    assert "MLFLOW_EXPERIMENT_NAME; it is not asked again" in said


def test_stages_that_start_at_once_make_one_experiment(experiment: str) -> None:
    together = threading.Barrier(8)

    def found(_: int) -> str:
        together.wait()
        return find_experiment(MlflowClient(), experiment)

    with ThreadPoolExecutor(together.parties) as pool:
        assert len(set(pool.map(found, range(together.parties)))) == 1
