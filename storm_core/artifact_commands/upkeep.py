"""`storm artifact verify | gc`: find what is damaged, and what is in the way."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from storm_core.artifact_commands.listing import human_size
from storm_core.errors import InputError
from storm_core.progress import answer, report
from storm_core.stores.garbage_collection import Garbage, registered_sources, unfinished_garbage, unneeded_garbage
from storm_core.stores.references import open_reference, reference_manifest, required_store, stored_artifact
from storm_core.stores.store import Store, StoredArtifact


def verify(references: Sequence[str], store: str | None, *, remove_damaged: bool) -> int:
    """Read artifacts whole and compare every file with its manifest; exit code 1 where any is damaged."""
    found: list[tuple[str, StoredArtifact | None]] = [(reference, None) for reference in references]
    if not references:
        searched = required_store(store)
        places = [place for place in searched.places() if place.finished]
        found = [(place.location.uri, searched.artifact(place.kind, place.digest)) for place in places]
    whole = [_is_whole(reference, stored, remove_damaged=remove_damaged) for reference, stored in found]
    return 0 if all(whole) else 1


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


def _is_whole(reference: str, stored: StoredArtifact | None, *, remove_damaged: bool) -> bool:
    """Look at all files of one artifact and say how it is; `stored` where it is known already."""
    try:
        stored = stored or stored_artifact(reference)
        names = stored.damaged() if stored else []
        if not stored:
            open_reference(reference)
    except InputError as error:
        answer(f"damaged  {reference}  {error}")
        return False
    answer(f"{'damaged' if names else 'ok     '}  {reference}  {' '.join(names)}".rstrip())
    if stored and names and remove_damaged:
        stored.remove_files(names)
        report(f"removed the manifest and {', '.join(names)} of {stored.location.uri}; publish the artifact again")
    return not names
