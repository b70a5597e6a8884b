"""Inputs of a stage that runs elsewhere: named by where they lie in the store, and not brought to this machine."""

import dataclasses
from pathlib import Path

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.manifest import content_digest
from storm_core.stores.references import open_reference, reference_manifest
from storm_core.stores.store import Store


def named_input(store: Store | None, reference: str, kind: str) -> Artifact:
    """The artifact without its files; what lies on this machine alone is copied to the store first.

    Raises:
        InputError: nothing is there, or no store is set.
        StoreError: the store cannot be used.
    """
    if store is None:
        raise InputError(
            "training on nodes needs a store that all of them reach: set STORM_STORE to s3://bucket/prefix"
        )
    manifest = reference_manifest(reference)
    if manifest.uri is None:
        local = open_reference(reference)
        manifest = local.manifest
        if not manifest.kind:
            manifest = dataclasses.replace(manifest, kind=kind, digest=content_digest(kind, manifest.files))
        manifest = dataclasses.replace(manifest, uri=store.publish_copy(local.path, manifest).uri)
    return Artifact(path=Path(), manifest=manifest)
