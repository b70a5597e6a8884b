"""The shapes of the model that a recipe starts from, by its `config.json` alone, wherever it lies."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from storm_core.checkpoints.gguf_config import read_gguf_config
from storm_core.checkpoints.settings_files import read_model_config
from storm_core.checkpoints.shapes import ModelShapes, read_shapes
from storm_core.errors import InputError
from storm_core.manifest import MANIFEST_NAME, read_manifest
from storm_core.stores.references import stored_artifact
from storm_core.stores.store import StoredArtifact

_CONFIG = "config.json"


def base_shapes(reference: str) -> ModelShapes:
    """The shapes of the model that `reference` names: a directory, a GGUF file, or an artifact in a store.

    Raises:
        InputError: there is no config.json to read, or it describes a model of other shapes than are known.
        StoreError: the store cannot be used.
    """
    try:
        return read_shapes(_config_of(reference), reference)
    except InputError as error:
        raise InputError(f"base_model: {error}") from error


def _config_of(reference: str) -> dict[str, Any]:
    if reference.startswith("hf://"):
        raise InputError(
            f"{reference} is on a hub, of which nothing is read here; give a directory that holds its config.json"
        )
    stored = stored_artifact(reference)
    return _from_store(stored, reference) if stored else _from_disk(Path(reference))


def _from_disk(path: Path) -> dict[str, Any]:
    if path.is_file() and path.suffix == ".gguf":
        return read_gguf_config(path)
    manifest = path / MANIFEST_NAME
    if not (path / _CONFIG).is_file() and manifest.is_file():
        # What a stage hands on where a store is set: the content lies there.
        uri = read_manifest(manifest).uri
        if uri is not None:
            return _config_of(uri)
    return read_model_config(path)


def _from_store(stored: StoredArtifact, reference: str) -> dict[str, Any]:
    """Of all files of the artifact the config alone is fetched."""
    manifest = stored.manifest()
    wanted = tuple(entry for entry in manifest.files if entry.path == _CONFIG)
    if not wanted:
        raise InputError(f"{reference} holds no {_CONFIG}; is it a model?")
    with tempfile.TemporaryDirectory() as directory:
        stored.pull(replace(manifest, files=wanted), Path(directory))
        return read_model_config(Path(directory))
