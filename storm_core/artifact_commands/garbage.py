"""`storm artifact gc`: list what nothing needs, and remove it on request."""

from collections.abc import Sequence
from datetime import timedelta

from storm_core.artifact_commands.listing import human_size
from storm_core.errors import InputError, StoreError, first_line
from storm_core.progress import answer, report
from storm_core.stores.garbage_collection import Garbage, remove, unfinished_garbage, unneeded_garbage
from storm_core.stores.needed import Needed
from storm_core.stores.references import reference_manifest, required_store
from storm_core.stores.registries import keep_noted, keep_registered
from storm_core.stores.store import Store

_MOST_DAYS = 36_500  # A hundred years; a date has an end.


def gc(
    store: str | None,
    *,
    keep_days: float,
    keep: Sequence[str],
    keep_registered: bool,
    registries: Sequence[str],
    delete: bool,
) -> int:
    """List what unfinished runs left in a store, and what nothing needs; on request remove it.

    Exit code 1 where something could not be removed.

    Raises:
        InputError: bad options, or what is to be kept cannot be found out; then nothing is removed.
        StoreError: the store cannot be used.
    """
    if not 0 <= keep_days <= _MOST_DAYS:
        raise InputError(f"--keep-days must be from 0 to {_MOST_DAYS}, got {keep_days}")
    target, age = required_store(store), timedelta(days=keep_days)
    garbage = list(unfinished_garbage(target, age))
    asked = [*registries, *([None] if keep_registered else [])]
    if keep or asked:
        garbage += _unneeded(target, age, keep, asked)
    for one in garbage:
        answer(f"{one.what}  {_size(one)}  {one.reason}")
    total = human_size(sum(one.size for one in garbage))
    report(f"{len(garbage)} found, {total} in artifacts{'' if delete else '; could be removed with --delete'}")
    return _remove_all(target, garbage, age) if delete else 0


def _unneeded(store: Store, age: timedelta, keep: Sequence[str], asked: Sequence[str | None]) -> list[Garbage]:
    # Results are found by what is published, so the places are listed before anything is said to be needed.
    places = list(store.places())
    needed = Needed(store, places)
    for reference in keep:
        needed.keep(reference_manifest(reference))
    versions = keep_registered(store, needed, asked)
    elsewhere = keep_noted(store, needed, asked)
    if not keep and not versions and not elsewhere:
        raise InputError("nothing to keep was named or is registered; that would remove the whole store")
    for one in elsewhere:
        report(f"kept: {one}")
    return list(unneeded_garbage(store, needed, places, age))


def _remove_all(store: Store, garbage: Sequence[Garbage], age: timedelta) -> int:
    """Remove one after the other, saying so; what fails is named, and the rest goes on."""
    removed, failed = [], 0
    for one in garbage:
        try:
            user = remove(store, one, age)
        except (InputError, StoreError, OSError) as error:
            failed += 1
            answer(f"failed  {one.what}  {first_line(error)}")
            continue
        answer(f"kept  {one.what}  {user}" if user else f"removed  {one.what}")
        removed += [] if user else [one]
    total, kept = human_size(sum(one.size for one in removed)), len(garbage) - len(removed) - failed
    report(f"{len(removed)} removed, {total} in artifacts; {kept} kept, {failed} failed")
    return 1 if failed else 0


def _size(garbage: Garbage) -> str:
    return human_size(garbage.size) if garbage.size else "-"
