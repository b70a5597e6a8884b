"""Files of a model directory, to be changed one at a time, and safetensors headers in parts."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from storm_core.checkpoints.checkpoint import open_checkpoint, write_checkpoint
from storm_core.checkpoints.weight_files import INDEX_NAME, SINGLE_NAME
from tests.fuzzing.mutations import among, hostile, mutate_bytes, mutate_json, mutate_value, to_json
from tests.fuzzing.template_pieces import mutate_template

_DTYPES = ("F32", "BF16", "F16", "F8_E4M3", "I8", "I64", "BOOL", "U8", "F4", "bf16", "", 1, None)


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """A model directory of which some files are changed.

    Attributes:
        directory: the model as it was.
        changed: content of the changed files, by name.
        names: those that may be changed.
    """

    directory: Path
    names: tuple[str, ...]
    changed: Mapping[str, bytes]

    def write(self, place: Path) -> Path:
        """The changed model, in an empty directory; what is not changed is linked."""
        for file in self.directory.iterdir():
            if file.name in self.changed:
                (place / file.name).write_bytes(self.changed[file.name])
            else:
                (place / file.name).symlink_to(file)
        return place


def model_files(directory: Path, *names: str) -> ModelFiles:
    """The model with nothing changed yet in the files of these names."""
    return ModelFiles(directory=directory, names=names, changed={})


def mutate_model(model: ModelFiles, chance: Random) -> ModelFiles:
    """The model with a change in one of its files, which are JSON and a chat template."""
    name = chance.choice(model.names)
    content = model.changed.get(name, (model.directory / name).read_bytes())
    if name.endswith(".jinja"):
        changed = mutate_template(content.decode(errors="replace"), chance).encode(errors="replace")
    else:
        changed = mutate_json(content, chance)
    return replace(model, changed={**model.changed, name: changed})


def in_shards(model: Path, directory: Path) -> Path:
    """The same model in several files, with an index."""
    checkpoint = open_checkpoint(model)
    directory.mkdir()
    tensors = ((name, checkpoint.load(name)) for name in checkpoint.tensors)
    write_checkpoint(directory, tensors, source=model, shard_bytes=8_000)
    assert (directory / INDEX_NAME).is_file()
    return directory


@dataclass(frozen=True, kw_only=True)
class Tensors:
    """The parts of a safetensors file, and the `config.json` of its model.

    Attributes:
        length: what the file says of its header's; None for what it has.
    """

    config: bytes
    header: bytes
    data: bytes
    length: int | None = None

    def content(self) -> bytes:
        """The file."""
        length = len(self.header) if self.length is None else self.length
        return struct.pack("<Q", length & (2**64 - 1)) + self.header + self.data


def tensors_of(model: Path) -> Tensors:
    """Those of a model in one file."""
    content = (model / SINGLE_NAME).read_bytes()
    end = 8 + struct.unpack("<Q", content[:8])[0]
    config = (model / "config.json").read_bytes()
    return Tensors(config=config, header=content[8:end], data=content[end:])


def mutate_tensors(tensors: Tensors, chance: Random) -> Tensors:
    """The file with a change of its header, of the header's length, or of its end."""
    kind = chance.randrange(6)
    if kind == 0:
        length = chance.choice((0, 1, len(tensors.header) - 1, len(tensors.header) + 8, 2**31, 2**63, 2**64 - 1, 10**8))
        return replace(tensors, length=length)
    if kind == 1:
        return replace(tensors, data=tensors.data[: chance.randrange(len(tensors.data) + 1)] or b"\0" * 3)
    if kind == 2:
        return replace(tensors, header=among(mutate_json, mutate_bytes)(tensors.header, chance))
    try:
        header = json.loads(tensors.header)
        entries = [entry for name, entry in header.items() if name != "__metadata__" and isinstance(entry, dict)]
    except (ValueError, AttributeError, RecursionError):
        entries = []
    if not entries:
        return tensors
    _mutate_entry(chance.choice(entries), entries, chance)
    return replace(tensors, header=to_json(header))


def _mutate_entry(entry: dict[str, Any], entries: Sequence[dict[str, Any]], chance: Random) -> None:
    """Another dtype, shape or place, also where another tensor lies."""
    kind = chance.randrange(5)
    if kind == 0:
        entry["dtype"] = chance.choice(_DTYPES)
    elif kind == 1:
        entry["shape"] = mutate_value(entry.get("shape"), chance)
    elif kind == 2:
        entry["data_offsets"] = mutate_value(entry.get("data_offsets"), chance)
    elif kind == 3:
        entry["data_offsets"] = chance.choice(entries).get("data_offsets")
    else:
        key = chance.choice(("dtype", "shape", "data_offsets"))
        entry[key] = hostile(entry.get(key), chance)
