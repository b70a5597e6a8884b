"""Runs in MLflow, on a database of its own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from storm_core.config import StageConfig
from storm_core.tracking import track


@dataclass(frozen=True, kw_only=True)
class Config(StageConfig):
    """No options."""


def test_experiment_that_another_task_makes_meanwhile_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    look = MlflowClient.get_experiment_by_name
    missed: list[str] = []

    def look_too_early(self: MlflowClient, name: str) -> Any:
        """The first look finds none; then the other task makes it."""
        if not missed:
            missed.append(self.create_experiment(name))
            return None
        return look(self, name)

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", look_too_early)
    with track("scan", Config(), {}) as run:
        assert run.client is not None
        assert run.client.get_run(run.run_id).info.experiment_id == missed[0]
