"""Tracking one stage: its run opened, what it logs on the way, and its end."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from storm_core.config import StageConfig
from storm_core.stores.file_ledger import FileLedger
from storm_core.stores.ledger import Ledger
from storm_core.stores.locations import FileLocation
from storm_core.tracking.delivery import Delivery
from storm_core.tracking.destination import Destination, destination
from storm_core.tracking.headlines import arguments, option_texts
from storm_core.tracking.stage_run import StageRun
from storm_core.tracking.work import Work

# How long a stage that is over waits for MLflow; of one that was told to stop little time is left.
SECONDS_AT_THE_END = {"FINISHED": 60.0, "FAILED": 30.0, "KILLED": 10.0}
# KFP's plugin logs a component's inputs, which have the options' names, in one batch with its metrics; MLflow refuses
# the batch where one of the names has another text already.
_PREFIX_BESIDE_PLUGIN = "storm."

_current_run: ContextVar[StageRun | None] = ContextVar("current_run", default=None)


def current_run() -> StageRun:
    """The run of the stage that is being tracked; outside of `track`, or without MLflow, one that logs nothing."""
    return _current_run.get() or StageRun()


@contextlib.contextmanager
def track(work: Work, config: StageConfig, ledger: Ledger | None, outputs: Path) -> Iterator[StageRun]:
    """A run for one stage, ended FINISHED, FAILED when the body raises, or KILLED when it was told to stop.

    Args:
        work: the stage.
        config: its options, logged as parameters.
        ledger: of the store that stages share; None without a store.
        outputs: the directory that the outputs lie in; what MLflow did not get is kept there, without a store.
    """
    place = destination()
    if place is None:
        yield StageRun()
        return
    delivery = Delivery(place, work, ledger, ledger or FileLedger(FileLocation(path=outputs.resolve())))
    _log_start(delivery, place, work, config)
    delivery.start()
    run, status = StageRun(delivery), "FAILED"
    token = _current_run.set(run)
    try:
        yield run
        status = "FINISHED"
    except (SystemExit, KeyboardInterrupt):
        status = "KILLED"
        raise
    finally:
        _current_run.reset(token)
        delivery.finish(status, SECONDS_AT_THE_END[status])


def _log_start(delivery: Delivery, place: Destination, work: Work, config: StageConfig) -> None:
    """What is known before the stage begins: options, lineage, and the run's arguments for the parent run."""
    prefix = _PREFIX_BESIDE_PLUGIN if place.by_plugin else ""
    delivery.run.add_params({f"{prefix}{name}": text for name, text in option_texts(config).items()})
    lineage = {f"storm.input.{name}": ",".join(digests) for name, digests in work.inputs.items()}
    delivery.run.add_tags({"storm.stage": work.verb, **lineage})
    delivery.parent.add_params({f"{prefix}{name}": text for name, text in arguments(work, config).items()})
