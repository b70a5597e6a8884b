"""Leases in a store's ledger: of the processes that share a store, one at a time does a thing.

A lease is a row of notes, `leases/<key>/<number>`. Whoever puts the next number first holds the lease and renews that
note until the end, which the note then says. A holder that died renews no more: the lease has lapsed once its note is
older than it may be, or as soon as somebody on the same machine sees that the process is gone. The highest number
counts, and a note is removed only after one with a higher number is there.
"""

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storm_core.errors import StoreError
from storm_core.heartbeat import activity
from storm_core.progress import report
from storm_core.stores.ledger import Ledger, Note

# Long enough for a pause of the store or of the process, short enough to wait for after a kill on another machine.
LEASE_SECONDS = 30.0
# Below it lie the leases on runs of stages, each by its run key.
RUN_LEASES = "runs"
# Below it lie all leases.
LEASES = "leases"
_RENEWALS_PER_LEASE = 3
_LOOK_AGAIN_SECONDS = 2.0
# No lease is asked for that would last longer unrenewed: an older note is of no holder, and need not be read.
_LONGEST_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The newest note of a lease: its number, 0 where there is none; what it says, and whether somebody holds it."""

    number: int
    note: Note
    is_held: bool


@contextlib.contextmanager
def held(
    ledger: Ledger,
    key: str,
    *,
    seconds: float = LEASE_SECONDS,
    about: Mapping[str, Any] | None = None,
    waits: Callable[[Note], None] = lambda _: None,
) -> Iterator[None]:
    """Hold the lease `key` while the body runs, after waiting for whoever holds it.

    Args:
        ledger: of the store that the processes share.
        key: a plain relative path.
        seconds: after which the lease lapses where its holder died.
        about: what `active` tells others of this holder.
        waits: called once, with the holder's note, where this process has to wait.

    Raises:
        StoreError: the store cannot be used. While the lease is held it is no error: a line says so, and the lease may
            lapse.
    """
    note = {**(about or {}), "holder": secrets.token_hex(8), "seconds": seconds, **_process()}
    with activity("wait until no other process does the same"):
        place = _acquire(ledger, key, note, waits)
    over = threading.Event()
    renewing = threading.Thread(target=_renew, args=(ledger, place, note, over), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        over.set()
        renewing.join()
        with contextlib.suppress(StoreError):  # It lapses by itself.
            ledger.put(place, {**note, "over": True})


def active(ledger: Ledger) -> dict[str, Note]:
    """What the holders of all leases that are held now say of themselves, by key."""
    ages = {place: age for place, age in ledger.ages(LEASES).items() if age <= _LONGEST_SECONDS}
    keys = {place.rpartition("/")[0] for place in ages}
    found = {key: _newest(ledger, key, ages) for key in sorted(keys)}
    return {key.removeprefix(f"{LEASES}/"): one.note for key, one in found.items() if one.is_held}


def _acquire(ledger: Ledger, key: str, note: Note, waits: Callable[[Note], None]) -> str:
    """The place of the note by which this process holds the lease."""
    row, told = f"{LEASES}/{key}", False
    while True:
        found = _newest(ledger, row, ledger.ages(row))
        if found.is_held:
            if found.note and not told:
                told = True
                waits(found.note)
            time.sleep(_LOOK_AGAIN_SECONDS)
            continue
        place = f"{row}/{found.number + 1:08d}"
        if ledger.put_first(place, note)["holder"] == note["holder"] and _is_newest(ledger, row, place):
            return place


def _is_newest(ledger: Ledger, row: str, place: str) -> bool:
    """Whether no later note is in the row; of this one and those before it, what counts no more is removed."""
    # Whoever looked before others came and went puts a number that had been taken and removed since.
    places = sorted(ledger.ages(row))
    is_newest = places[-1:] == [place]
    for other in places[:-1] if is_newest else [place]:
        ledger.tidy(other)
    return is_newest


def _newest(ledger: Ledger, row: str, ages: Mapping[str, float]) -> _Found:
    place = max((place for place in ages if place.rpartition("/")[0] == row), default=None)
    if place is None:
        return _Found(number=0, note={}, is_held=False)
    number, note = int(place.rpartition("/")[2]), ledger.read(place)
    if note is None:  # Whoever took the lease since has removed it.
        return _Found(number=number, note={}, is_held=True)
    is_over = bool(note.get("over")) or ages[place] > note["seconds"] or _is_gone(note)
    return _Found(number=number, note=note, is_held=not is_over)


def _renew(ledger: Ledger, place: str, note: Note, over: threading.Event) -> None:
    told = False
    while not over.wait(note["seconds"] / _RENEWALS_PER_LEASE):
        try:
            ledger.put(place, note)
        except StoreError as error:
            if not told:
                report(f"the lease on this work is not renewed, another attempt may begin it too: {error}", "warning")
            told = True


def _process() -> Note:
    """What tells processes of one machine apart, where the system says it: Linux does."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # Numbers of processes are those of a container where there is one.
        machine = f"{boot} {Path('/proc/self/ns/pid').readlink()}"
        return {"machine": machine, "process": os.getpid(), "started": _started(os.getpid())}
    except OSError:
        return {}


def _is_gone(note: Note) -> bool:
    """Whether the holder ran on this machine and runs no more."""
    here = _process()
    if not here or note.get("machine") != here["machine"]:
        return False
    try:
        return bool(_started(note["process"]) != note["started"])
    except OSError:
        return True


def _started(process: int) -> int:
    """When the process started, in clock ticks since the machine did: field 22 of proc(5)'s `stat`."""
    stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    # The command's name, in brackets, may hold blanks and brackets.
    return int(stat.rpartition(")")[2].split()[19])
