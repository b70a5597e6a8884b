"""Where artifacts live when they outgrow an output directory: `STORM_STORE=file:///path`.

An artifact is published to `<store>/<kind>/<digest>/`, an immutable directory with the real file names. Beside the
kinds lies `.results/`, which remembers what each stage run produced, so that the same run again need not run.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from storm_core.artifacts import MANIFEST_NAME, Artifact, Manifest, open_directory, read_manifest
from storm_core.errors import InputError

STORE_VARIABLE = "STORM_STORE"


class FileStore:
    """A store in a local directory. Publishing is one rename, so a reader sees a whole artifact or none."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def staging_directory(self) -> Path:
        """A new empty directory on the store's own file system, for an output that will be published."""
        staging = self.root / ".staging"
        staging.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=staging))

    def publish(self, directory: Path, manifest: Manifest) -> str:
        """Move the sealed `directory` to its place and return the URI; content already there is kept as it is."""
        target = self.root / manifest.kind / manifest.digest
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            directory.rename(target)
        except OSError:
            # Renaming onto a directory that is not empty fails: the same content is there already.
            if not (target / MANIFEST_NAME).is_file():
                raise
            shutil.rmtree(directory)
        return target.resolve().as_uri()

    def recall(self, key: str) -> dict[str, Any] | None:
        """What `remember` kept under `key`, or None."""
        path = self.root / ".results" / f"{key}.json"
        if not path.is_file():
            return None
        entry: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return entry

    def remember(self, key: str, entry: Mapping[str, Any]) -> None:
        """Keep the JSON object `entry` under `key`, replacing what was there in one step."""
        path = self.root / ".results" / f"{key}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_text(json.dumps(entry, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        partial.replace(path)


def store_from_environment() -> FileStore | None:
    """The store that `STORM_STORE` names, or None where outputs stay in their own directories.

    Raises:
        InputError: the variable holds something else than a `file:///` URI.
    """
    uri = os.environ.get(STORE_VARIABLE)
    return FileStore(file_uri_to_path(uri)) if uri else None


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


def file_uri_to_path(uri: str) -> Path:
    """The absolute local path that a `file:///` URI names.

    Raises:
        InputError: another scheme, a host, a query or fragment, or a path that climbs with `..`.
    """
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if parts.scheme != "file":
        raise InputError(f"{uri!r} is not a file:/// URI, the only kind of store there is so far")
    if parts.netloc or parts.query or parts.fragment or not path.startswith("/"):
        raise InputError(f"{uri!r} must be file:/// and an absolute path, nothing else")
    if ".." in path.split("/") or "\\" in path or "\0" in path:
        raise InputError(f"{uri!r} holds '..', a backslash or a NUL; write the plain path")
    return Path(path)


def _open_uri(uri: str) -> Artifact:
    artifact = open_directory(file_uri_to_path(uri))
    return Artifact(path=artifact.path, manifest=replace(artifact.manifest, uri=uri))
