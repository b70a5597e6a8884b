"""Entries go to MLflow in batches; the parent run's parameters so that no task's value is in the way of another's."""

from typing import TYPE_CHECKING

from storm_core.tracking.entries import Entries, Outbox

if TYPE_CHECKING:
    from mlflow import MlflowClient

_REFUSED_PARAMETER = "INVALID_PARAMETER_VALUE"


def send(client: "MlflowClient", run_id: str, outbox: Outbox) -> None:
    """Log all that waits, and take it off as MLflow has it."""
    while batch := outbox.next_batch():
        _log(client, run_id, batch)
        outbox.remove(batch)


def send_to_parent(client: "MlflowClient", run_id: str, outbox: Outbox) -> None:
    """Log all that waits; of a parameter that the run has already the first value stays.

    Parameters in MLflow cannot be changed, and one that differs has the whole batch refused.
    """
    from mlflow.exceptions import MlflowException

    while batch := outbox.next_batch():
        there = client.get_run(run_id).data.params if batch.params else {}
        missing = {name: value for name, value in batch.params.items() if name not in there}
        try:
            _log(client, run_id, Entries(batch.metrics, missing, batch.tags))
        except MlflowException as error:
            if error.error_code != _REFUSED_PARAMETER or not missing:
                raise
            if not set(missing) & set(client.get_run(run_id).data.params):
                raise
            continue  # Another task was first with one of them.
        outbox.remove(batch)


def _log(client: "MlflowClient", run_id: str, entries: Entries) -> None:
    from mlflow.entities import Metric, Param, RunTag

    if not entries:
        return
    metrics = [Metric(point.key, point.value, point.timestamp, point.step) for point in entries.metrics]
    params = [Param(name, value) for name, value in entries.params.items()]
    tags = [RunTag(name, value) for name, value in entries.tags.items()]
    client.log_batch(run_id, metrics, params, tags, synchronous=True)
