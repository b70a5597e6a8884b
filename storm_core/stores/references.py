"""From the text that names an artifact or a store to the thing itself."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from storm_core.artifacts import Artifact, open_directory
from storm_core.errors import InputError
from storm_core.manifest import MANIFEST_NAME, Manifest, read_manifest
from storm_core.places import check_place
from storm_core.stores.file_artifact import FileArtifact
from storm_core.stores.file_store import FileStore
from storm_core.stores.layout import split_location
from storm_core.stores.locations import FileLocation, HubLocation, Location, StoreLocation
from storm_core.stores.store import Store, StoredArtifact
from storm_core.stores.uris import parse_uri

if TYPE_CHECKING:
    from storm_core.stores.s3_artifact import S3Access

STORE_VARIABLE = "STORM_STORE"


def store_from_environment() -> Store | None:
    """The store that `STORM_STORE` names, or None where outputs stay in their own directories.

    Raises:
        InputError: the variable does not hold the URI of a store.
        StoreError: the AWS configuration cannot be used.
    """
    uri = os.environ.get(STORE_VARIABLE)
    return open_store(uri) if uri else None


def required_store(uri: str | None) -> Store:
    """The store at `uri`, else the one of the environment.

    Raises:
        InputError: neither is given, or not the URI of a store.
        StoreError: the AWS configuration cannot be used.
    """
    store = open_store(uri) if uri else store_from_environment()
    if store is None:
        raise InputError(f"no store: name one, as file:///directory or s3://bucket/prefix, or set {STORE_VARIABLE}")
    return store


def open_store(uri: str) -> Store:
    """The store at `uri`.

    Raises:
        InputError: not the URI of a store, or no directory can be there.
        StoreError: the AWS configuration cannot be used.
    """
    location = parse_uri(uri)
    if isinstance(location, HubLocation):
        raise InputError(f"{uri!r} cannot hold artifacts; a store is file:///directory or s3://bucket/prefix")
    return _store_at(location)


def store_of(manifest: Manifest) -> Store | None:
    """The store that the artifact lies in by its URI, else the one of the environment.

    Raises:
        InputError: the manifest's URI is none, or the environment's not that of a store.
        StoreError: the AWS configuration cannot be used.
    """
    found = split_location(parse_uri(manifest.uri)) if manifest.uri else None
    if found and manifest.kind and found[1:] == (manifest.kind, manifest.digest):
        return _store_at(found[0])
    return store_from_environment()


def store_holding(uri: str) -> Store | None:
    """The store that has the artifact of this URI in its place; None where it lies in none.

    Raises:
        InputError: it is no URI.
        StoreError: the AWS configuration cannot be used.
    """
    found = split_location(parse_uri(uri))
    return _store_at(found[0]) if found else None


def stored_artifact(reference: str) -> StoredArtifact | None:
    """The artifact in a store that `reference` names; None for a local path and a hub's repository.

    Raises:
        InputError: the reference is of an unknown kind.
        StoreError: the AWS configuration cannot be used.
    """
    location = _location(reference)
    return None if location is None or isinstance(location, HubLocation) else _artifact_at(location)


def open_reference(reference: str) -> Artifact:
    """Open the artifact that `reference` names, verified.

    A reference is a local directory or file, a manifest file, or a URI: `file:///`, `s3://` or `hf://org/name@revision`.
    A directory that holds only a manifest with a `uri`, as stages hand on when a store is set, leads to its content.

    Raises:
        InputError: nothing is there, it was altered, or the reference is of an unknown kind.
        StoreError: the store or the hub cannot be used.
    """
    location = _location(reference)
    if location:
        return _open(location)
    path = _manifest_path(reference)
    if not path.is_file():
        return open_directory(Path(reference))
    manifest = read_manifest(path)
    if manifest.uri is None:
        return open_directory(path.parent)
    content = _open(_parse(manifest.uri))
    if content.digest != manifest.digest:
        raise InputError(f"{path} says digest {manifest.digest}, but {manifest.uri} holds {content.digest}")
    # The travelling manifest tells this run's lineage; the one in the store, that of whoever published first.
    return replace(content, manifest=manifest)


def check_reference(reference: str) -> Manifest:
    """The manifest of the artifact that `reference` names, after a check that costs no transfer.

    What lies on this machine is verified whole. Of what lies in a bucket presence and size of each file are checked;
    the hashes are when it is opened.

    Raises:
        InputError: see `open_reference`.
        StoreError: the store cannot be used.
    """
    stored = stored_artifact(reference)
    return stored.check() if stored else open_reference(reference).manifest


def reference_manifest(reference: str) -> Manifest:
    """The manifest of the artifact that `reference` names; its files are not looked at where that can be avoided.

    Raises:
        InputError: see `open_reference`.
        StoreError: the store cannot be used.
    """
    location = _location(reference)
    if location is None:
        path = _manifest_path(reference)
        return read_manifest(path) if path.is_file() else open_directory(Path(reference)).manifest
    if isinstance(location, HubLocation) or _is_foreign(location):
        return _open(location).manifest
    return _artifact_at(location).manifest()


def _location(reference: str) -> Location | None:
    """Where the artifact lies that `reference` names; None for a local path."""
    return _parse(reference) if "://" in reference else None


def _parse(uri: str) -> Location:
    """Where the artifact of this URI lies; the URI of its manifest does as well."""
    location = parse_uri(uri)
    if isinstance(location, HubLocation) or location.name != MANIFEST_NAME:
        return location
    return location.parent


def _manifest_path(reference: str) -> Path:
    path = Path(reference)
    return path if path.name == MANIFEST_NAME else path / MANIFEST_NAME


def _is_foreign(location: StoreLocation) -> bool:
    """Whether it is a local directory or file that no stage wrote."""
    return isinstance(location, FileLocation) and not (location.path / MANIFEST_NAME).is_file()


def _open(location: Location) -> Artifact:
    if isinstance(location, HubLocation):
        from storm_core.stores.hub import open_hub

        return open_hub(location)
    return _artifact_at(location).open()


# boto3 takes a while to load, and most runs on a laptop need none of it.
def _artifact_at(location: StoreLocation) -> StoredArtifact:
    if isinstance(location, FileLocation):
        return FileArtifact(location)
    from storm_core.stores.s3_artifact import S3Artifact

    return S3Artifact(location, _s3_access())


def _store_at(location: StoreLocation) -> Store:
    if isinstance(location, FileLocation):
        check_place(location.path)
        return FileStore(location)
    from storm_core.stores.s3_store import S3Store

    return S3Store(location, _s3_access())


def _s3_access() -> "S3Access":
    from storm_core.stores.cache import cache_from_environment
    from storm_core.stores.s3_artifact import S3Access
    from storm_core.stores.s3_client import make_client

    return S3Access(client=make_client(), cache=cache_from_environment())
