"""Runs that nobody ended: their stages were killed, and the next attempt or a later stage closes them.

A stage that is alive says so in the store's ledger once a minute. Another attempt of the same task below the same
parent run needs no more proof: a pipeline starts it when the earlier one is over.
"""

import contextlib
import secrets
from typing import TYPE_CHECKING

from storm_core.errors import StoreError
from storm_core.stores.ledger import Ledger
from storm_core.tracking.opening import TASK_TAG, OpenRun
from storm_core.tracking.parents import MADE_TAG, PARENT_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run

LIFE_TAG, STORE_TAG = "storm.life", "storm.store"
ATTEMPT_TAG, CLOSED_TAG = "storm.attempt", "storm.closed"
SECONDS_BETWEEN_SIGNS = 60.0
# Some signs may be late: a request to MLflow that gets no answer takes a minute and a half.
_DEAD_AFTER_SECONDS = 300.0
_SIGNS = "mlflow/alive"


class Life:
    """The signs of life of one stage in the ledger of its store; none where it has no store."""

    def __init__(self, ledger: Ledger | None) -> None:
        self._ledger = ledger
        self._token = secrets.token_hex(8)

    def tags(self) -> dict[str, str]:
        """What the run carries, so that others find the signs."""
        if self._ledger is None:
            return {}
        store = self._ledger.put_first("mlflow/store", {"id": secrets.token_hex(8)})["id"]
        return {LIFE_TAG: self._token, STORE_TAG: store}

    def sign(self) -> None:
        """Say that the stage is alive."""
        if self._ledger:
            with contextlib.suppress(StoreError):
                self._ledger.put(f"{_SIGNS}/{self._token}", {})

    def end(self) -> None:
        """Take the sign away."""
        if self._ledger:
            with contextlib.suppress(StoreError):
                self._ledger.tidy(f"{_SIGNS}/{self._token}")


def close_earlier_attempts(run: OpenRun) -> int:
    """Close the runs of earlier attempts of the same task that nobody ended; returns which attempt this one is."""
    if not run.owned or not run.task_id:
        return 1
    found = run.client.search_runs([run.experiment_id], f"tags.`{TASK_TAG}` = '{run.task_id}'")
    earlier = [one for one in found if one.info.run_id != run.run_id]
    for one in earlier:
        if one.info.status == "RUNNING":
            _close(run, one.info.run_id, "killed; the next attempt closed it")
    return len(earlier) + 1


def close_dead_runs(run: OpenRun, ledger: Ledger | None) -> None:
    """Close runs of stages of the same store that give no sign of life, and parent runs below which none is left."""
    if ledger is None:
        return
    store = ledger.put_first("mlflow/store", {"id": secrets.token_hex(8)})["id"]
    query = f"attributes.status = 'RUNNING' and tags.`{STORE_TAG}` = '{store}'"
    running = [one for one in run.client.search_runs([run.experiment_id], query) if one.info.run_id != run.run_id]
    ages = ledger.ages(_SIGNS) if running else {}
    dead = [one for one in running if ages.get(_sign_of(one), _DEAD_AFTER_SECONDS) >= _DEAD_AFTER_SECONDS]
    for one in dead:
        _close(run, one.info.run_id, "killed; a later stage closed it")
        ledger.tidy(_sign_of(one))
    for parent in sorted({one.data.tags[PARENT_TAG] for one in dead if PARENT_TAG in one.data.tags}):
        if not run.parent or parent != run.parent.run_id:
            _close_parent(run, parent)


def _close_parent(run: OpenRun, parent: str) -> None:
    """Close a KFP run's parent run whose last stage was killed: KFP ended it, and no stage of it could."""
    query = f"attributes.status = 'RUNNING' and tags.`{PARENT_TAG}` = '{parent}'"
    found = run.client.get_run(parent)
    is_ours = found.info.status == "RUNNING" and MADE_TAG in found.data.tags
    if is_ours and not run.client.search_runs([run.experiment_id], query, max_results=1):
        _close(run, parent, "its last stage was killed")


def _close(run: OpenRun, run_id: str, why: str) -> None:
    run.client.set_tag(run_id, CLOSED_TAG, why)
    run.client.set_terminated(run_id, "KILLED")


def _sign_of(run: "Run") -> str:
    return f"{_SIGNS}/{run.data.tags.get(LIFE_TAG, 'none')}"
