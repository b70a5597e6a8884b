"""Brings what a stage logs to MLflow, from a thread of its own: the stage waits when it starts and ends, and not long.

A server that is away is asked again as long as the stage runs; one that refuses is not. What it did not get in the end
is kept for a later stage.
"""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from storm_core.errors import InputError, StoreError
from storm_core.mlflow_requests import NoAliasesError
from storm_core.progress import report
from storm_core.stores.ledger import Ledger
from storm_core.tracking.attempts import (
    ATTEMPT_TAG,
    SECONDS_BETWEEN_SIGNS,
    Life,
    close_dead_runs,
    close_earlier_attempts,
)
from storm_core.tracking.destination import Destination
from storm_core.tracking.entries import Outbox, milliseconds
from storm_core.tracking.failures import failures, in_words, may_pass
from storm_core.tracking.headlines import headlines
from storm_core.tracking.opening import OpenRun, open_run
from storm_core.tracking.sending import send, send_to_parent
from storm_core.tracking.unlogged import Unlogged, keep, log_unlogged
from storm_core.tracking.work import Work

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SECONDS_BETWEEN_BATCHES = 5.0
_SECONDS_AFTER_A_FAILURE = 30.0
# The last stage of the graph, but for the audit of the judge: the parent run ends with it.
_LAST_VERB = "report"


class Delivery:
    """Of one stage: what waits to be logged to its run and to the parent run, and the thread that sends it."""

    def __init__(self, destination: Destination, work: Work, ledger: Ledger | None, kept_in: Ledger) -> None:
        """`ledger` is of the store that stages share, None where there is none; `kept_in` takes what is not sent."""
        self.run, self.parent = Outbox(), Outbox()
        self._destination, self._work = destination, work
        self._ledger, self._kept_in = ledger, kept_in
        self._started, self._ended, self._status = milliseconds(), 0, ""
        self._life = Life(ledger)
        self._open: OpenRun | None = None
        self._failure, self._is_refused, self._is_last, self._is_done = "", False, False, False
        self._is_needed = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send_until_over, name="mlflow", daemon=True)

    def start(self) -> None:
        """Open the run, if the server answers, and start to send.

        Raises:
            NoAliasesError: the stage is part of a pipeline, whose end this server cannot serve.
        """
        self._life.sign()
        self._try()
        self._thread.start()

    def finish(self, status: str, seconds: float) -> None:
        """Send what waits, end the run with `status`, and keep what did not get there within `seconds`."""
        self._ended, self._status = milliseconds(), status
        self._over.set()
        self._thread.join(seconds)
        if not (self._is_done or self._is_needed):
            self._keep()
        self._life.end()

    def log_results(self, metrics: Mapping[str, float]) -> None:
        """Log the stage's metrics, and the headlines among them to the parent run."""
        self.run.add_metrics(metrics)
        self.parent.add_metrics(headlines(self._work, metrics))

    def log_file(self, path: Path) -> None:
        """Copy the file to the run, unless the server keeps files on a disk of its own without serving them."""
        if self._open is None:
            return  # The stage's output holds it.
        client, run_id = self._open.client, self._open.run_id
        try:
            place = client.get_run(run_id).info.artifact_uri
            is_local = urlsplit(place).scheme in ("", "file")
            if not (is_local and urlsplit(client.tracking_uri).scheme in ("http", "https")):
                client.log_artifact(run_id, str(path))
        except failures() as error:
            report(f"{self._work.task}: {path.name} is not logged: {in_words(error)}", "warning")

    def connection(self) -> "tuple[MlflowClient, str]":
        """A client and the run's id.

        Raises:
            InputError: MLflow cannot be used.
        """
        if self._open is None:
            self._is_needed = True
            raise InputError(f"{self._failure}; {self._work.verb} cannot do without it")
        return self._open.client, self._open.run_id

    def _send_until_over(self) -> None:
        signed, chores_due = time.monotonic(), True
        while not self._over.is_set():
            if self._try() and chores_due:
                chores_due = not self._do_chores()
            if time.monotonic() - signed >= SECONDS_BETWEEN_SIGNS:
                self._life.sign()
                signed = time.monotonic()
            self._over.wait(_SECONDS_AFTER_A_FAILURE if self._failure else _SECONDS_BETWEEN_BATCHES)
        if chores_due and self._try():
            self._do_chores()
        self._is_last = True
        self._try()

    def _try(self) -> bool:
        """Open the run and send what waits; returns whether the server took it all."""
        if self._is_refused:
            return False
        try:
            self._open = self._open or self._opened()
            self._send(self._open)
        except failures() as error:
            self._fail(error)
            return False
        if self._failure:
            report(f"{self._work.task}: MLflow answers again")
        self._failure = ""
        return True

    def _opened(self) -> OpenRun:
        tags = self._life.tags()
        return open_run(self._destination, self._work, self._ledger, started=self._started, tags=tags)

    def _send(self, run: OpenRun) -> None:
        send(run.client, run.run_id, self.run)
        if run.parent:
            send_to_parent(run.client, run.parent.run_id, self.parent)
        if self._is_last:
            self._end(run)
            self._is_done = True

    def _end(self, run: OpenRun) -> None:
        if run.owned:
            run.client.set_terminated(run.run_id, self._status, end_time=self._ended)
        if run.parent and run.parent.ours and (self._status != "FINISHED" or self._work.verb == _LAST_VERB):
            run.client.set_terminated(run.parent.run_id, self._status, end_time=self._ended)

    def _do_chores(self) -> bool:
        """What one stage does for others, and for attempts before it; returns whether it is done."""
        run = self._open
        if run is None:
            return False
        try:
            attempt = close_earlier_attempts(run)
            if attempt > 1:
                self.run.add_tags({ATTEMPT_TAG: str(attempt)})
            if attempt > 1 and run.parent and run.parent.ours:
                run.client.update_run(run.parent.run_id, status="RUNNING")
            for place in {id(ledger): ledger for ledger in (self._ledger, self._kept_in) if ledger}.values():
                log_unlogged(place, lambda line: report(f"{self._work.task}: {line}"))
            close_dead_runs(run, self._ledger)
        except failures() as error:
            report(f"{self._work.task}: earlier runs in MLflow are left as they are: {in_words(error)}", "warning")
        return True

    def _fail(self, error: Exception) -> None:
        """Say the first time that MLflow cannot be used; before the stage began, end a pipeline that leads nowhere."""
        if isinstance(error, NoAliasesError) and not self._thread.is_alive():
            self._life.end()
            raise error
        is_first, self._failure = not self._failure, in_words(error)
        self._is_refused = not may_pass(error)
        if is_first:
            then = "it is not asked again" if self._is_refused else "it is asked again until the stage ends"
            report(f"{self._work.task}: {self._failure}; {then}", "warning")

    def _keep(self) -> None:
        run = self._open
        unlogged = Unlogged(
            destination=self._destination,
            work=self._work,
            run_id=run.run_id if run and run.owned else None,
            run=self.run.waiting(),
            parent=self.parent.waiting(),
            started=self._started,
            ended=self._ended,
            status=self._status,
        )
        try:
            place = keep(self._kept_in, unlogged)
        except (StoreError, OSError) as error:
            report(f"{self._work.task}: what MLflow did not get is lost: {error}", "warning")
            return
        report(f"{self._work.task}: what MLflow did not get is kept in .ledger/{place} for the next stage", "warning")
