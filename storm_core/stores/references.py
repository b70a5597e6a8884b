"""From the text that names an artifact or a store to the thing itself."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from storm_core.artifacts import MANIFEST_NAME, Artifact, Manifest, open_directory, read_manifest
from storm_core.errors import InputError
from storm_core.stores.file_store import FileStore
from storm_core.stores.store import Store
from storm_core.stores.uris import FileLocation, HubLocation, S3Location, parse_uri

if TYPE_CHECKING:
    from storm_core.stores.s3_store import S3Store

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
        InputError: not the URI of a store.
        StoreError: the AWS configuration cannot be used.
    """
    location = parse_uri(uri)
    if isinstance(location, FileLocation):
        return FileStore(location.path)
    if isinstance(location, S3Location):
        return _s3_store(location)
    raise InputError(f"{uri!r} cannot hold artifacts; a store is file:///directory or s3://bucket/prefix")


def open_reference(reference: str) -> Artifact:
    """Open the artifact that `reference` names, verified.

    A reference is a local directory or file, a manifest file, or a URI: `file:///`, `s3://` or `hf://org/name@revision`.
    A directory that holds only a manifest with a `uri`, as stages hand on when a store is set, leads to its content.

    Raises:
        InputError: nothing is there, it was altered, or the reference is of an unknown kind.
        StoreError: the store or the hub cannot be used.
    """
    if "://" in reference:
        return _open_uri(reference)
    path = Path(reference)
    manifest_path = path if path.name == MANIFEST_NAME else path / MANIFEST_NAME
    if not manifest_path.is_file():
        return open_directory(path)
    manifest = read_manifest(manifest_path)
    if manifest.uri is None:
        return open_directory(manifest_path.parent)
    content = _open_uri(manifest.uri)
    _check_same(manifest_path, manifest, content.manifest)
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
    location = parse_uri(_without_manifest_name(reference)) if "://" in reference else None
    if isinstance(location, S3Location):
        return _s3_store(location).check(location)
    return open_reference(reference).manifest


def reference_manifest(reference: str) -> Manifest:
    """The manifest of the artifact that `reference` names; its files are not looked at where that can be avoided.

    Raises:
        InputError: see `open_reference`.
        StoreError: the store cannot be used.
    """
    if "://" in reference:
        uri = _without_manifest_name(reference)
        location = parse_uri(uri)
        is_in_store = isinstance(location, S3Location) or (
            isinstance(location, FileLocation) and (location.path / MANIFEST_NAME).is_file()
        )
        return open_store(uri).manifest(uri) if is_in_store else open_reference(reference).manifest
    path = Path(reference)
    manifest_path = path if path.name == MANIFEST_NAME else path / MANIFEST_NAME
    return read_manifest(manifest_path) if manifest_path.is_file() else open_directory(path).manifest


def _open_uri(uri: str) -> Artifact:
    location = parse_uri(_without_manifest_name(uri))
    if isinstance(location, S3Location):
        return _s3_store(location).open(location)
    if isinstance(location, HubLocation):
        from storm_core.stores.hub import open_hub

        return open_hub(location)
    artifact = open_directory(location.path)
    return replace(artifact, manifest=replace(artifact.manifest, uri=location.path.as_uri()))


def _check_same(manifest_path: Path, expected: Manifest, found: Manifest) -> None:
    if found.digest != expected.digest:
        raise InputError(f"{manifest_path} says digest {expected.digest}, but {expected.uri} holds {found.digest}")


def _without_manifest_name(uri: str) -> str:
    return uri.removesuffix(f"/{MANIFEST_NAME}")


def _s3_store(location: S3Location) -> "S3Store":
    # boto3 takes a while to load, and most runs on a laptop need none of it.
    from storm_core.stores.cache import cache_from_environment
    from storm_core.stores.s3_client import make_client
    from storm_core.stores.s3_store import S3Store

    return S3Store(location, make_client(), cache_from_environment())
