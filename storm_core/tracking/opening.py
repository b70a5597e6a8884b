"""A stage's run in MLflow: the one that KFP's plugin made for the task, or a new one below the parent run."""

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storm_core.errors import InputError
from storm_core.mlflow_client import connect
from storm_core.mlflow_requests import check_aliases
from storm_core.stores.ledger import Ledger
from storm_core.tracking.destination import Destination
from storm_core.tracking.failures import quieten_client
from storm_core.tracking.parents import PARENT_TAG, Parent, find_parent
from storm_core.tracking.work import Work

if TYPE_CHECKING:
    from mlflow import MlflowClient

TASK_TAG = "storm.task"
_DELETED = "deleted"
# Of MLflow's client, where the user says nothing: by its own defaults one request may take a quarter of an hour.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


@dataclass(frozen=True, kw_only=True)
class OpenRun:
    """A run that can be logged to; `owned` where the stage made it, and ends it."""

    client: "MlflowClient"
    run_id: str
    experiment_id: str
    parent: Parent | None
    owned: bool
    task_id: str


def open_run(
    destination: Destination, work: Work, ledger: Ledger | None, *, started: int, tags: dict[str, str]
) -> OpenRun:
    """The run of the stage; a new one starts at `started`, in milliseconds, and carries `tags`.

    Raises:
        InputError: the address cannot be MLflow's, or the experiment was deleted.
        NoAliasesError: what the last stage of the pipeline, `register`, needs is not there.
    """
    client = _connect()
    experiment_id = destination.experiment_id or find_experiment(client, destination.experiment_name)
    if destination.kfp_run_id or destination.by_plugin:
        check_aliases(client, work.verb)  # Of no model in particular.
    parent = find_parent(client, destination, experiment_id, ledger, started=started)
    task_id = _task_id(work, parent)
    run_id = destination.run_id
    if run_id is None:
        above = {PARENT_TAG: parent.run_id} if parent else {}
        made = client.create_run(
            experiment_id, start_time=started, run_name=work.task, tags={**above, **tags, TASK_TAG: task_id}
        )
        run_id = made.info.run_id
    return OpenRun(
        client=client,
        run_id=run_id,
        experiment_id=experiment_id,
        parent=parent,
        owned=destination.run_id is None,
        task_id=task_id,
    )


def _connect() -> "MlflowClient":
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    quieten_client()
    return connect()


def _task_id(work: Work, parent: Parent | None) -> str:
    """What attempts of one task have in common, and nothing else has; empty where the stage runs alone."""
    if parent is None or not work.key:
        return ""
    return hashlib.sha256(f"{parent.run_id} {work.task} {work.key}".encode()).hexdigest()


def find_experiment(client: "MlflowClient", name: str, artifact_location: str | None = None) -> str:
    """The ID of the experiment, made where there is none, its files then at `artifact_location`.

    Raises:
        InputError: it was deleted.
    """
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name, artifact_location))
        except MlflowException:
            # Tasks that start side by side all find none; the server lets one of them make it.
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == _DELETED:
        raise InputError(
            f"the experiment {name!r} was deleted in MLflow: restore it (`mlflow experiments restore --experiment-id "
            f"{experiment.experiment_id}`), or name another with MLFLOW_EXPERIMENT_NAME"
        )
    return str(experiment.experiment_id)
