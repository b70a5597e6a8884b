"""Garbage collection: what unfinished work left in a store and, on request, artifacts that nothing kept was made of."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from storm_core.errors import InputError
from storm_core.manifest import Manifest
from storm_core.stores.inventory import Place
from storm_core.stores.layout import split_location
from storm_core.stores.lineage import Lineage
from storm_core.stores.references import stored_artifact
from storm_core.stores.store import Store
from storm_core.stores.uris import parse_uri


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """Something to remove: what it is, where, why, its size in bytes where known, and how to remove it."""

    what: str
    reason: str
    size: int
    remove: Callable[[], None]


def unfinished_garbage(store: Store, before: datetime) -> Iterator[Garbage]:
    """What publishes and runs that were killed before `before` have left; no reader ever saw any of it."""
    for leftover in store.leftovers():
        if leftover.modified < before:
            yield Garbage(what=leftover.what, reason="left by an unfinished run", size=0, remove=leftover.remove)
    for place in store.places():
        if not place.finished and place.modified < before:
            yield _artifact(store, place, "never finished")


def unneeded_garbage(store: Store, keep: Iterable[Manifest], before: datetime) -> Iterator[Garbage]:
    """The artifacts from before `before` that are neither in `keep` nor among what those were made from.

    Raises:
        InputError: nothing to keep, or the lineage of what is kept cannot be walked.
    """
    kept = list(keep)
    if not kept:
        raise InputError("nothing to keep was named; that would remove the whole store")
    lineage = Lineage(store)
    needed = {ancestor.digest for manifest in kept for ancestor in lineage.walk(manifest, manifest.uri or "")}
    for place in store.places():
        if place.finished and place.modified < before and place.digest not in needed:
            yield _artifact(store, place, "nothing that is kept was made from it")


def registered_sources(store: Store, tracking_uri: str | None = None) -> list[Manifest]:
    """The manifests of all models in the MLflow registry that lie in this store.

    Raises:
        InputError: a registered model lies in this store no more, or its source cannot be read.
    """
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri)
    page = client.search_model_versions()
    sources = {version.source or "" for version in page}
    while page.token:
        page = client.search_model_versions(page_token=page.token)
        sources |= {version.source or "" for version in page}
    # Others may be of a scheme that no store has.
    inside = sorted(source for source in sources if source.startswith(f"{store.location.uri}/"))
    return [_registered(store, source) for source in inside]


def _registered(store: Store, source: str) -> Manifest:
    """The manifest of what the registry names; it may lie in a store of its own below this one."""
    found = split_location(parse_uri(source))
    artifact = store.artifact(*found[1:]) if found and found[0] == store.location else stored_artifact(source)
    if artifact is None:
        raise InputError(f"{source}, which a model version in MLflow names as its source, is in no store")
    return artifact.manifest()


def _artifact(store: Store, place: Place, reason: str) -> Garbage:
    remove = store.artifact(place.kind, place.digest).remove
    return Garbage(what=f"artifact {place.location.uri}", reason=reason, size=place.size, remove=remove)
