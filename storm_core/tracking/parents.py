"""The parent run: one for a KFP run, made once although its tasks start side by side."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from storm_core.mlflow_client import TRACKING_URI_VARIABLE
from storm_core.redaction import without_secrets
from storm_core.stores.leases import held
from storm_core.stores.ledger import Ledger
from storm_core.tracking.destination import Destination

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PARENT_TAG = "mlflow.parentRunId"
# By these names KFP's own plugin tags a run, too.
KFP_RUN_TAG, KFP_URL_TAG = "kfp.pipeline_run_id", "kfp.pipeline_run_url"
# Of a parent run that the stages made themselves.
MADE_TAG = "storm.parent"
# A run of KFP's plugin lies below that of its loop, which lies below that of the KFP run.
_DEEPEST = 6


@dataclass(frozen=True, kw_only=True)
class Parent:
    """The run above a stage's; `ours` where nobody but the stages makes and ends it."""

    run_id: str
    ours: bool = False


def find_parent(
    client: "MlflowClient", destination: Destination, experiment_id: str, ledger: Ledger | None, *, started: int
) -> Parent | None:
    """The parent run, None where the stage runs alone; one that must be made starts as the stage did."""
    if destination.parent_run_id:
        return Parent(run_id=destination.parent_run_id)
    if destination.run_id:
        return _above(client, destination.run_id)
    if destination.kfp_run_id:
        make = partial(_found_or_made, client, destination, experiment_id, started)
        return Parent(run_id=_first_made(client, make, destination.kfp_run_id, ledger), ours=True)
    return None


def _above(client: "MlflowClient", run_id: str) -> Parent | None:
    """The topmost run above another."""
    found = None
    for _ in range(_DEEPEST):
        above = client.get_run(found or run_id).data.tags.get(PARENT_TAG)
        if above is None:
            break
        found = above
    return Parent(run_id=found) if found else None


def _first_made(client: "MlflowClient", make: Callable[[], str], kfp_run_id: str, ledger: Ledger | None) -> str:
    if ledger is None:
        return make()
    server = without_secrets(os.environ[TRACKING_URI_VARIABLE])
    name = hashlib.sha256(f"{server} {kfp_run_id}".encode()).hexdigest()
    key = f"mlflow/parents/{name}"
    if note := ledger.read(key):
        return str(note["run_id"])
    with held(ledger, key):
        if note := ledger.read(key):
            return str(note["run_id"])
        made = make()
        first = str(ledger.put_first(key, {"run_id": made})["run_id"])
        if first != made:  # The lease had lapsed meanwhile.
            client.delete_run(made)
        return first


def _found_or_made(client: "MlflowClient", destination: Destination, experiment_id: str, started: int) -> str:
    """The oldest run that carries the KFP run's id; others, which a repeated request or another task made, go."""
    query = f"tags.`{KFP_RUN_TAG}` = '{destination.kfp_run_id}'"
    made = []
    if not client.search_runs([experiment_id], query, max_results=1):
        name = destination.kfp_run_name or destination.kfp_run_id
        made = [client.create_run(experiment_id, start_time=started, run_name=name, tags=_tags(destination))]
    # Some servers find a new run only a moment later.
    first, *others = sorted(client.search_runs([experiment_id], query), key=_age) or made
    for other in others:
        client.delete_run(other.info.run_id)
    return str(first.info.run_id)


def _age(run: "Run") -> tuple[int, str]:
    return run.info.start_time, run.info.run_id


def _tags(destination: Destination) -> dict[str, str]:
    tags = {KFP_RUN_TAG: destination.kfp_run_id or "", MADE_TAG: "true"}
    if destination.kfp_url:
        tags[KFP_URL_TAG] = f"{destination.kfp_url.rstrip('/')}/#/runs/details/{destination.kfp_run_id}"
    return tags
