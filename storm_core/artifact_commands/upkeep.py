"""`storm artifact verify | gc`: find what is damaged, and what is in the way."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from storm_core.artifact_commands.listing import human_size
from storm_core.errors import InputError
from storm_core.progress import answer, report
from storm_core.stores.garbage_collection import Garbage, registered_sources, unfinished_garbage, unneeded_garbage
from storm_core.stores.references import open_reference, open_store, reference_manifest, required_store
from storm_core.stores.store import Store
from storm_core.stores.uris import HubLocation, parse_uri


def verify(references: Sequence[str], store: str | None, *, remove_damaged: bool) -> int:
    """Read artifacts whole and compare every file with its manifest; exit code 1 where any is damaged."""
    damaged = 0
    for reference in references or [place.uri for place in required_store(store).places() if place.finished]:
        names = _damaged(reference)
        if names is None:
            damaged += 1
            continue
        damaged += bool(names)
        answer(f"{'damaged' if names else 'ok     '}  {reference}  {' '.join(names)}".rstrip())
        if names and remove_damaged:
            uri = reference_manifest(reference).uri or ""
            open_store(uri).remove(uri, names)
            report(f"removed the manifest and {', '.join(names)} of {uri}; publish the artifact again")
    return 1 if damaged else 0


def gc(store: str | None, *, min_age_hours: float, keep: Sequence[str], keep_registered: bool, delete: bool) -> int:
    """List what unfinished runs left in a store, and what nothing needs; remove it on request."""
    if not min_age_hours >= 0:
        raise InputError(f"--min-age-hours must be at least 0, got {min_age_hours}")
    target = required_store(store)
    before = datetime.now(UTC) - timedelta(hours=min_age_hours)
    garbage = list(_garbage(target, before, keep, keep_registered=keep_registered))
    for one in garbage:
        answer(f"{one.what}  {human_size(one.size) if one.size else '-'}  {one.reason}")
        if delete:
            one.remove()
    total = human_size(sum(one.size for one in garbage))
    done = "removed" if delete else "could be removed with --delete"
    report(f"{len(garbage)} found, {total} in artifacts; {done}")
    return 0


def _garbage(store: Store, before: datetime, keep: Sequence[str], *, keep_registered: bool) -> Iterator[Garbage]:
    yield from unfinished_garbage(store, before)
    if keep or keep_registered:
        kept = [reference_manifest(reference) for reference in keep]
        if keep_registered:
            kept += registered_sources(store)
        yield from unneeded_garbage(store, kept, before)


def _damaged(reference: str) -> list[str] | None:
    """The damaged files of one artifact; None, after saying why, where there is no artifact to look at."""
    try:
        if "://" not in reference or isinstance(parse_uri(reference), HubLocation):
            open_reference(reference)
            return []
        return open_store(reference).damaged(reference)
    except InputError as error:
        answer(f"damaged  {reference}  {error}")
        return None
