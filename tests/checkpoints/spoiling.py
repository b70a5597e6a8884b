"""Changes to the files of a model directory that a test may spoil."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from storm_core.checkpoints.weight_files import INDEX_NAME, SINGLE_NAME


def change_json(file: Path, **changes: Any) -> None:
    """Set keys of a JSON object."""
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def change_config(model: Path, **changes: Any) -> None:
    """Set keys of `config.json`."""
    change_json(model / "config.json", **changes)


def change_tensors(model: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    """Do to the tensors of the single file what `change` does to them by name."""
    tensors = load_file(model / SINGLE_NAME)
    change(tensors)
    write_tensors(model / SINGLE_NAME, tensors)


def write_tensors(file: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file as transformers does."""
    save_file(tensors, file, metadata={"format": "pt"})


def cut_into_shards(model: Path, count: int, *, has_index: bool) -> list[Path]:
    """Spread the tensors of the single file over `count` shards in its place."""
    tensors = load_file(model / SINGLE_NAME)
    (model / SINGLE_NAME).unlink()
    files = [model / f"model-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1)]
    placed = {name: files[place % count] for place, name in enumerate(tensors)}
    for file in files:
        write_tensors(file, {name: tensors[name] for name in tensors if placed[name] == file})
    if has_index:
        weight_map = {name: file.name for name, file in placed.items()}
        (model / INDEX_NAME).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}), encoding="utf-8")
    return files
