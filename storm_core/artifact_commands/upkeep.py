"""`storm artifact verify`: find what is damaged."""

from collections.abc import Sequence

from storm_core.errors import InputError
from storm_core.progress import answer, report
from storm_core.stores.references import open_reference, required_store, stored_artifact
from storm_core.stores.rights import MissingRightError
from storm_core.stores.store import StoredArtifact


def verify(references: Sequence[str], store: str | None, *, remove_damaged: bool) -> int:
    """Read artifacts whole and compare every file with its manifest; exit code 1 where any is damaged."""
    found: list[tuple[str, StoredArtifact | None]] = [(reference, None) for reference in references]
    if not references:
        searched = required_store(store)
        places = [place for place in searched.places() if place.finished]
        found = [(place.location.uri, searched.artifact(place.kind, place.digest)) for place in places]
    whole = [_is_whole(reference, stored, remove_damaged=remove_damaged) for reference, stored in found]
    return 0 if all(whole) else 1


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
        _remove(stored, names)
    return not names


def _remove(stored: StoredArtifact, names: Sequence[str]) -> None:
    """Remove what is damaged, or say why it stays; others are looked at all the same."""
    try:
        stored.remove_files(names)
    except MissingRightError as error:
        report(f"{', '.join(names)} of {stored.location.uri} stay: {error}", "warning")
        return
    report(f"removed the manifest and {', '.join(names)} of {stored.location.uri}; publish the artifact again")
