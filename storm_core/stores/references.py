"""From the text that names an artifact or a store to the thing itself."""

import os
from dataclasses import replace
from pathlib import Path

from storm_core.artifacts import MANIFEST_NAME, Artifact, open_directory, read_manifest
from storm_core.errors import InputError
from storm_core.stores.file_store import FileStore
from storm_core.stores.uris import FileLocation, parse_uri

STORE_VARIABLE = "STORM_STORE"


def store_from_environment() -> FileStore | None:
    """The store that `STORM_STORE` names, or None where outputs stay in their own directories.

    Raises:
        InputError: the variable does not hold the URI of a store.
    """
    uri = os.environ.get(STORE_VARIABLE)
    return open_store(uri) if uri else None


def open_store(uri: str) -> FileStore:
    """The store at `uri`.

    Raises:
        InputError: not the URI of a store.
    """
    location = parse_uri(uri)
    if isinstance(location, FileLocation):
        return FileStore(location.path)
    raise InputError(f"{uri!r} is not a file:/// URI, the only kind of store there is so far")


def open_reference(reference: str) -> Artifact:
    """Open the artifact that `reference` names: a directory, a manifest file, or a `file:///` URI; all verified.

    A directory that holds only a manifest with a `uri`, as stages hand on when a store is set, leads to its content.

    Raises:
        InputError: nothing is there, it was altered, or the reference is of an unknown kind.
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
    if content.digest != manifest.digest:
        raise InputError(f"{manifest_path} says digest {manifest.digest}, but {manifest.uri} holds {content.digest}")
    # The travelling manifest tells this run's lineage; the one in the store, that of whoever published first.
    return Artifact(path=content.path, manifest=manifest)


def _open_uri(uri: str) -> Artifact:
    location = parse_uri(uri)
    if not isinstance(location, FileLocation):
        raise InputError(f"{uri!r} is not a file:/// URI, the only kind of store there is so far")
    artifact = open_directory(location.path)
    return Artifact(path=artifact.path, manifest=replace(artifact.manifest, uri=uri))
