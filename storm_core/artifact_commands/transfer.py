"""`storm artifact push | pull`: bring artifacts into a store and out of it."""

import os
from dataclasses import replace
from pathlib import Path

from storm_core.artifacts import Artifact
from storm_core.destinations import beside, check_outputs, holds_files, replace_directory
from storm_core.errors import InputError
from storm_core.machine_errors import NamesFullDisk, check_room, directory_bytes
from storm_core.manifest import MANIFEST_NAME, Manifest, check_relative_path, content_digest, write_manifest
from storm_core.places import followed
from storm_core.progress import answer
from storm_core.stores.file_artifact import copy_files
from storm_core.stores.references import open_reference, reference_manifest, required_store, stored_artifact


def push(reference: str, store: str | None, kind: str | None) -> int:
    """Publish a directory, or copy an artifact from elsewhere, to a store; prints its URI."""
    target = required_store(store)
    artifact = open_reference(reference)
    manifest = with_kind(artifact, reference, kind)
    answer(target.publish_copy(artifact.path, manifest).uri)
    return 0


def pull(reference: str, directory: str) -> int:
    """Copy an artifact into a new directory, verified; prints the directory."""
    target = Path(directory)
    place = followed(target).absolute()
    if place.exists() and (not place.is_dir() or holds_files(place)):
        raise InputError(f"{target} is there already; pull into a new directory")
    check_outputs({"directory": place}, [])
    manifest = reference_manifest(reference)
    # The same name each time, so that a pull that was interrupted is continued.
    partial = beside(place) / f".{place.name}.partial-{manifest.digest[:12]}"
    partial.mkdir(parents=True, exist_ok=True)
    with NamesFullDisk({partial: target}):
        check_room(partial, manifest.size - directory_bytes(partial), "the artifact")
        _copy(manifest, reference, partial)
        write_manifest(partial, replace(manifest, uri=None))
        replace_directory(partial, place)
    answer(str(target))
    return 0


def _copy(manifest: Manifest, reference: str, directory: Path) -> None:
    """Copy the listed files into `directory`, verified."""
    stored = stored_artifact(manifest.uri) if manifest.kind and manifest.uri else None
    if stored and stored.manifest().digest == manifest.digest:
        stored.pull(manifest, directory)
        return
    artifact = open_reference(reference)
    if artifact.digest != manifest.digest:
        raise InputError(f"{reference} changed while it was read")
    copy_files(artifact.path, manifest, directory)


def with_kind(artifact: Artifact, reference: str, kind: str | None) -> Manifest:
    """The manifest to publish: the artifact's own, or one of the given kind for a foreign directory.

    Raises:
        InputError: the kind is missing, no plain word, or not the artifact's.
    """
    manifest = artifact.manifest
    if manifest.kind:
        if kind not in (None, manifest.kind):
            raise InputError(f"{reference} is of kind {manifest.kind!r}, not {kind!r}; leave out --kind")
        return manifest
    if kind is None:
        raise InputError(f"{reference} has no {MANIFEST_NAME}; say with --kind what it is, such as --kind model")
    check_relative_path(kind, "--kind")
    if "/" in kind or kind.startswith("."):
        raise InputError(f"--kind must be a plain word, got {kind!r}")
    named = manifest.uri or os.fspath(Path(reference).absolute())
    return Manifest(
        kind=kind,
        files=manifest.files,
        digest=content_digest(kind, manifest.files),
        inputs={"source": [manifest.digest]},
        references={"source": [named]},
    )
