"""Garbage collection: what unfinished work left in a store and, on request, finished artifacts that nothing needs.

What is to go is found first, as a whole. Runs go on meanwhile: what one of them began to use is found out once more
before each removal, in the order by which it cannot be missed. See `remove`.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from storm_core.errors import InputError
from storm_core.stores.inventory import Place
from storm_core.stores.layout import split_location
from storm_core.stores.leases import LEASES, RUN_LEASES, active
from storm_core.stores.needed import Needed
from storm_core.stores.registrations import forget_registrations
from storm_core.stores.store import Store
from storm_core.stores.uris import parse_uri
from storm_core.stores.uses import forget_uses, last_use, last_uses

# While any run works, what unfinished work wrote within a day stays, however young garbage may be: partial results that
# runs share, and what is being sent, tell of no run that they are of.
_WHILE_RUNS_WORK = timedelta(days=1)
# So long after its end nobody waits for a lease who saw it held.
_LEASE_ENDED = timedelta(hours=1)
# S3 tells the time by the second, of a note as of the question.
_CLOCK_STEPS = timedelta(seconds=2)

# What the store remembers of runs: their outputs, metrics and values, by run key.
Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """Something to remove.

    Attributes:
        what: kind and place of it, in words.
        reason: why.
        size: in bytes, 0 where unknown.
        remove: removes it.
        digest: of an artifact.
        results: what the store remembers of runs that made it.
        run_key: of the run that it is a partial result of.
        found: when it was found; the time of `time.monotonic`.
    """

    what: str
    reason: str
    remove: Callable[[], None]
    size: int = 0
    digest: str = ""
    results: Results = field(default_factory=dict)
    run_key: str = ""
    found: float = field(default_factory=time.monotonic)


def unfinished_garbage(store: Store, keep: timedelta) -> Iterator[Garbage]:
    """What killed publishes and runs have left and nobody wrote to for `keep`; no reader ever saw any of it."""
    leases = active(store.ledger)
    before = datetime.now(UTC) - (max(keep, _WHILE_RUNS_WORK) if leases else keep)
    for leftover in store.leftovers():
        if leftover.modified < before and f"{RUN_LEASES}/{leftover.run_key}" not in leases:
            yield Garbage(
                what=leftover.what,
                reason="left by an unfinished run",
                remove=leftover.remove,
                run_key=leftover.run_key,
            )
    # In this order: what is remembered was published before.
    results = dict(store.results())
    places = list(store.places())
    for place in places:
        if not place.finished and place.modified < before:
            yield _artifact(store, place, "never finished", {})
    yield from _dangling_results(store, results, {place.digest for place in places if place.finished})
    yield from _ended_leases(store, max(keep, _LEASE_ENDED))


def unneeded_garbage(store: Store, needed: Needed, places: list[Place], keep: timedelta) -> Iterator[Garbage]:
    """The finished artifacts that are not needed, and that nothing made or took for `keep`.

    Kept with `needed` is what runs that hold a lease use, and what those younger artifacts were made from.

    Raises:
        InputError: the lineage of what is kept cannot be walked.
    """
    for note in active(store.ledger).values():
        needed.keep_digests(note.get("inputs", ()))
    uses, before = last_uses(store.ledger), datetime.now(UTC) - keep
    finished = [place for place in places if place.finished]
    old = [place for place in finished if place.modified < before and _is_old(uses.get(place.digest), keep)]
    needed.keep_digests({place.digest for place in finished} - {place.digest for place in old})
    needed.keep_what_tells()
    results = dict(store.results())
    for place in old:
        if place.digest not in needed:
            led = {key: entry for key, entry in results.items() if place.digest in _outputs(store, entry)}
            yield _artifact(store, place, "nothing that is kept needs it", led)


def remove(store: Store, garbage: Garbage, keep: timedelta) -> str:
    """Remove it; returns an empty text, or who needs it since it was found, and then it stays.

    A run takes its lease, reads what is remembered, notes the use and looks for the artifact. Here the memory goes
    first, then leases and notes are looked at, then the artifact goes: whoever read the memory before is seen.

    Raises:
        InputError, StoreError, OSError: it cannot be removed, or only a part of it could.
    """
    for key in garbage.results:
        store.forget(key)
    if user := _user(store, garbage, keep):
        for key, entry in garbage.results.items():
            store.remember(key, entry)
        return user
    garbage.remove()
    if garbage.digest:
        forget_uses(store.ledger, garbage.digest)
        forget_registrations(store.ledger, garbage.digest)
    return ""


def _user(store: Store, garbage: Garbage, keep: timedelta) -> str:
    """Who uses it, in words; empty where nobody does."""
    runs = {f"{RUN_LEASES}/{key}" for key in (*garbage.results, garbage.run_key) if key}
    for key, note in active(store.ledger).items():
        if key in runs or garbage.digest in note.get("inputs", ()):
            return f"{note.get('task', key)} uses it"
    age = last_use(store.ledger, garbage.digest) if garbage.digest else None
    since = max(keep, timedelta(seconds=time.monotonic() - garbage.found) + _CLOCK_STEPS)
    return "" if _is_old(age, since) else "a run has taken it since"


def _is_old(age: float | None, keep: timedelta) -> bool:
    return age is None or age >= keep.total_seconds()


def _artifact(store: Store, place: Place, reason: str, results: Results) -> Garbage:
    return Garbage(
        what=f"artifact {place.location.uri}",
        reason=reason,
        size=place.size,
        remove=store.artifact(place.kind, place.digest).remove,
        digest=place.digest,
        results=results,
    )


def _dangling_results(store: Store, results: Results, finished: set[str]) -> Iterator[Garbage]:
    for key, entry in results.items():
        if not _outputs(store, entry) <= finished:
            yield Garbage(
                what=f"remembered result {key}", reason="what it leads to is gone", remove=partial(store.forget, key)
            )


def _outputs(store: Store, entry: Mapping[str, Any]) -> set[str]:
    """The digests of what a remembered result leads to; an empty text for what lies in no place of this store."""
    outputs = entry.get("outputs")
    uris = outputs.values() if isinstance(outputs, Mapping) else [""]
    return {_digest(store, str(uri)) for uri in uris}


def _digest(store: Store, uri: str) -> str:
    try:
        found = split_location(parse_uri(uri))
    except InputError:
        return ""
    return found[2] if found and found[0] == store.location else ""


def _ended_leases(store: Store, keep: timedelta) -> Iterator[Garbage]:
    for key, age in store.ledger.ages(LEASES).items():
        if age > keep.total_seconds():
            yield Garbage(what=f"lease {key}", reason="ended", remove=partial(store.ledger.delete, key))
