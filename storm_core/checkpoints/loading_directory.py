"""A directory that libraries read as `open_checkpoint` reads the model: without the files that they would prefer."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storm_core.checkpoints.checkpoint import COMPANION_SUFFIXES, Checkpoint
from storm_core.checkpoints.weight_files import INDEX_NAME, SINGLE_NAME


def is_plain(checkpoint: Checkpoint) -> bool:
    """Whether the model's own directory holds its weights under the published names, and no other safetensors file."""
    named = [file.name for file in checkpoint.files] == [SINGLE_NAME] or (checkpoint.path / INDEX_NAME).is_file()
    return named and set(checkpoint.files) == set(checkpoint.path.glob("*.safetensors"))


@contextmanager
def linked_alone(checkpoint: Checkpoint) -> Iterator[Path]:
    """A directory, there until the context ends, of links to the model's files: those of its weights, and settings.

    Shards get an index of our own: transformers wants more of one than the files of the tensors.
    """
    is_one = len(checkpoint.files) == 1
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for file in checkpoint.path.iterdir():
            if file.is_file() and file.suffix in COMPANION_SUFFIXES and not file.name.endswith(".index.json"):
                (directory / file.name).symlink_to(file.resolve())
        for file in checkpoint.files:
            (directory / (SINGLE_NAME if is_one else file.name)).symlink_to(file.resolve())
        if not is_one:
            _add_index(checkpoint, directory / INDEX_NAME)
        yield directory


def _add_index(checkpoint: Checkpoint, index: Path) -> None:
    weight_map = {info.stored_as: info.file.name for info in checkpoint.tensors.values()}
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}), encoding="utf-8")
