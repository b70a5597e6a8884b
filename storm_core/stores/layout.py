"""How every store is laid out.

`<store>/<kind>/<digest>/` holds an artifact, with its real file names and its manifest. Beside the kinds lie
`.results/`, which remembers what each stage run produced, so that the same run again need not run; `.parts/`, what
unfinished runs have finished; and `.ledger/`, notes by which processes that share the store agree.
"""

import re

from storm_core.manifest import check_relative_path, is_plain_path
from storm_core.stores.locations import HubLocation, L, Location, StoreLocation

_DIGEST = "[0-9a-f]{64}"
_FILE = re.compile(rf"(?P<kind>[^./][^/]*)/(?P<digest>{_DIGEST})/(?P<name>.+)")


def artifact_location(store: L, kind: str, digest: str) -> L:
    """Where the artifact of this kind and digest lies in the store.

    Raises:
        InputError: kind or digest would lead elsewhere.
    """
    check_relative_path(f"{kind}/{digest}", "the manifest")
    return store.below(kind, digest)


def split_location(location: Location) -> tuple[StoreLocation, str, str] | None:
    """Store, kind and digest where the location can be one that `artifact_location` made, else None."""
    if isinstance(location, HubLocation) or not is_named_by_digest(location):
        return None
    return location.parent.parent, location.parent.name, location.name


def split_file_name(name: str) -> tuple[str, str, str] | None:
    """Kind and digest of the artifact that the file of this name below the store is of, and its name there; or None."""
    found = _FILE.fullmatch(name)
    return (found["kind"], found["digest"], found["name"]) if found and is_plain_path(found["kind"]) else None


def is_named_by_digest(location: StoreLocation) -> bool:
    """Whether the location's name is a digest, which then is that of what it holds."""
    return re.fullmatch(_DIGEST, location.name) is not None


def results_location(store: L) -> L:
    """Where the store remembers the results of runs, each by the run's key."""
    return store.below(".results")


def result_location(store: L, key: str) -> L:
    """Where the store remembers the result of the run with this key."""
    return results_location(store).below(f"{key}.json")


def is_of_store(name: str) -> bool:
    """Whether the file of this name below the store is one of an artifact or a partial result of this very store."""
    return split_file_name(name) is not None or name.startswith(".parts/")


def partial_results_location(store: L) -> L:
    """Where the store keeps the partial results of runs, those of each below its key."""
    return store.below(".parts")


def ledger_location(store: L) -> L:
    """Where the store keeps its ledger's notes."""
    return store.below(".ledger")
