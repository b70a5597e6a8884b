"""MLflow: one run a stage, with config as parameters, metrics, and lineage digests as tags.

Nothing is tracked unless `MLFLOW_TRACKING_URI` is set. KFP 2.17 injects `MLFLOW_RUN_ID`: that run is used. Otherwise a
run is made, nested under `STORM_PARENT_RUN_ID` where the pipeline sets it.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from storm_core.config import StageConfig
from storm_core.log_lines import TASK_NAME_VARIABLE

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARENT_RUN_VARIABLE = "STORM_PARENT_RUN_ID"


class StageRun:
    """The MLflow run of one stage, or nothing at all where MLflow is not configured."""

    def __init__(self, client: "MlflowClient | None" = None, run_id: str = "") -> None:
        self.client = client
        self.run_id = run_id

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log each metric once, or as a point of its curve at `step`."""
        if self.client:
            for name, value in metrics.items():
                self.client.log_metric(self.run_id, name, float(value), step=step)

    def set_tag(self, name: str, value: str) -> None:
        """Set one tag."""
        if self.client:
            self.client.set_tag(self.run_id, name, value)

    def log_file(self, path: Path) -> None:
        """Keep a copy of the file with the run, where this process can reach the place of the run's files.

        A server that keeps them on its own disk without serving them names a directory that is not here.
        """
        if self.client:
            uri = self.client.get_run(self.run_id).info.artifact_uri
            local = urlsplit(uri).scheme in ("", "file")
            if not (local and urlsplit(os.environ["MLFLOW_TRACKING_URI"]).scheme in ("http", "https")):
                self.client.log_artifact(self.run_id, str(path))

    def log_config(self, config: StageConfig) -> None:
        """Log every option of `config` as a parameter."""
        if self.client:
            for name, value in dataclasses.asdict(config).items():
                text = json.dumps(value) if isinstance(value, tuple | bool) else str(value)
                self.client.log_param(self.run_id, name, text)


_current_run: ContextVar[StageRun | None] = ContextVar("current_run", default=None)


def current_run() -> StageRun:
    """The run of the stage that is being tracked; outside of `track`, or without MLflow, one that logs nothing."""
    return _current_run.get() or StageRun()


@contextlib.contextmanager
def track(verb: str, config: StageConfig, inputs: Mapping[str, list[str]]) -> Iterator[StageRun]:
    """A run for one stage, ended FINISHED, FAILED when the body raises, or KILLED when it was told to stop."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        yield StageRun()
        return
    run, owned = _open_run(os.environ.get(TASK_NAME_VARIABLE, verb))
    run.log_config(config)
    run.set_tag("storm.stage", verb)
    for name, digests in inputs.items():
        run.set_tag(f"storm.input.{name}", ",".join(digests))
    status = "FAILED"
    token = _current_run.set(run)
    try:
        yield run
        status = "FINISHED"
    except (SystemExit, KeyboardInterrupt):
        status = "KILLED"
        raise
    finally:
        _current_run.reset(token)
        if owned and run.client:
            run.client.set_terminated(run.run_id, status)


def _open_run(name: str) -> tuple[StageRun, bool]:
    """The injected run, or a new one and True."""
    # MLflow takes two seconds to import; a stage that is not tracked does not pay for it.
    from mlflow import MlflowClient

    client = MlflowClient()
    injected = os.environ.get("MLFLOW_RUN_ID")
    if injected:
        return StageRun(client, injected), False
    parent = os.environ.get(PARENT_RUN_VARIABLE)
    tags = {"mlflow.parentRunId": parent} if parent else {}
    run = client.create_run(_experiment_id(client), run_name=name, tags=tags)
    return StageRun(client, run.info.run_id), True


def _experiment_id(client: "MlflowClient") -> str:
    if injected := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return injected
    from mlflow.exceptions import MlflowException

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "storm")
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return client.create_experiment(name)
        except MlflowException:
            # Tasks that start side by side all find none; the server lets one of them make it.
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    return experiment.experiment_id
