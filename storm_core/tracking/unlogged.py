"""What MLflow did not get: kept in a ledger when a stage ends, logged by a later stage that reaches the server.

The ledger is that of the store, or without a store one beside the outputs.
"""

import os
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from storm_core.mlflow_client import TRACKING_URI_VARIABLE
from storm_core.redaction import without_secrets
from storm_core.stores.leases import held
from storm_core.stores.ledger import Ledger, Note
from storm_core.tracking.destination import Destination
from storm_core.tracking.entries import Entries, Outbox
from storm_core.tracking.opening import open_run
from storm_core.tracking.sending import send, send_to_parent
from storm_core.tracking.work import Work

PREFIX = "unlogged"
# A note is at most a megabyte; a point takes less than 120 bytes.
_POINTS_PER_NOTE = 5000
_LEASE = "mlflow/unlogged"
# What a note says that could not be removed once it was logged.
_LOGGED: Note = {"logged": True}


@dataclass(frozen=True, kw_only=True)
class Unlogged:
    """Of one stage: where its run goes, its id where there is one already, what it lacks, and how it ended."""

    destination: Destination
    work: Work
    run_id: str | None
    run: Entries
    parent: Entries
    started: int
    ended: int
    status: str


def keep(ledger: Ledger, unlogged: Unlogged) -> str:
    """Write it into the ledger; returns the prefix of its keys."""
    prefix = f"{PREFIX}/{secrets.token_hex(8)}"
    points = unlogged.run.metrics
    for number, start in enumerate(range(0, max(len(points), 1), _POINTS_PER_NOTE)):
        part = Entries(metrics=points[start : start + _POINTS_PER_NOTE])
        if number == 0:
            part.params, part.tags = unlogged.run.params, unlogged.run.tags
        note = {**asdict(unlogged), "run": part.to_json(), "server": _server()}
        if number:
            note["parent"] = Entries().to_json()
        ledger.put(f"{prefix}/{number:04d}", note)
    return prefix


def log_unlogged(ledger: Ledger, say: Callable[[str], None]) -> None:
    """Log all that earlier stages left in the ledger, and remove it there."""
    if not ledger.ages(PREFIX):
        return
    with held(ledger, _LEASE):
        keys = sorted(ledger.ages(PREFIX))
        for prefix in sorted({key.rpartition("/")[0] for key in keys}):
            found = {key: ledger.read(key) for key in keys if key.startswith(f"{prefix}/")}
            notes = {key: note for key, note in found.items() if note not in (None, _LOGGED)}
            if not notes:
                continue
            unlogged = _joined(list(notes.values()))
            _log(unlogged, ledger)
            for key in notes:
                if not ledger.tidy(key):
                    ledger.put(key, _LOGGED)
            say(f"logged to MLflow what {unlogged.work.task} had kept")


def _log(unlogged: Unlogged, ledger: Ledger) -> None:
    run = open_run(unlogged.destination, unlogged.work, ledger, started=unlogged.started, tags={})
    send(run.client, run.run_id, Outbox(unlogged.run))
    if run.parent:
        send_to_parent(run.client, run.parent.run_id, Outbox(unlogged.parent))
    if unlogged.run_id or run.owned:
        run.client.set_terminated(run.run_id, unlogged.status, end_time=unlogged.ended)


def _joined(notes: list[Note]) -> Unlogged:
    first = notes[0]
    run = Entries.from_json(first["run"])
    for note in notes[1:]:
        run.metrics += Entries.from_json(note["run"]).metrics
    return Unlogged(
        **{name: first[name] for name in ("run_id", "started", "ended", "status")},
        destination=_destination(first),
        work=Work(**first["work"]),
        run=run,
        parent=Entries.from_json(first["parent"]),
    )


def _destination(note: Note) -> Destination:
    """Where the run goes; on another server than then, ids of that one mean nothing."""
    then: dict[str, Any] = note["destination"]
    if note["server"] != _server():
        then = {**then, "run_id": None, "parent_run_id": None, "experiment_id": None, "by_plugin": False}
    elif note["run_id"]:
        then = {**then, "run_id": note["run_id"]}
    return Destination(**then)


def _server() -> str:
    return without_secrets(os.environ[TRACKING_URI_VARIABLE])
