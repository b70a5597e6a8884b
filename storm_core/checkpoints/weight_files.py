"""Which files of a directory hold a model's weights: decided here for every stage and for every library.

Libraries differ in it. Beside an index transformers reads a `model.safetensors` and vLLM the shards; without one vLLM
reads whatever is there. So a directory is read where it holds one model under the published names, and refused where it
holds two.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storm_core.errors import InputError
from storm_core.json_objects import read_object

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
_SHARD = re.compile(r"^model-(\d{5})-of-(\d{5})\.safetensors$")
_ADAPTERS = ("adapter_config.json", "adapter_model*.safetensors", "adapter_model*.bin")


@dataclass(frozen=True, kw_only=True)
class WeightFiles:
    """The files of a model's weights.

    Attributes:
        files: those that are read, in the order of their names.
        listed: names of tensors that an index says are in them; empty where there is none.
        passed_by: names of other safetensors files in the directory, which are no part of the model.
    """

    files: tuple[Path, ...]
    listed: frozenset[str] = frozenset()
    passed_by: tuple[str, ...] = ()


def find_weight_files(path: Path, config: Mapping[str, Any]) -> WeightFiles:
    """The files that hold the weights of the model in `path`, which has this `config.json`.

    They are the shards that `model.safetensors.index.json` lists, or `model.safetensors`, or without either a whole
    set of shards `model-00001-of-0000N.safetensors`. Other files and all folders are passed by.

    Raises:
        InputError: there are none, a shard is missing, or more than one model is there.
    """
    if config.get("transformers_weights"):
        raise InputError(
            f"config.json in {path} has transformers_weights, by which transformers alone would read other weights; "
            f"take it out and name the file {SINGLE_NAME}"
        )
    shards = sorted(file.name for file in path.glob("*.safetensors") if _SHARD.match(file.name))
    index = path / INDEX_NAME
    weight_map = _read_index(index) if index.is_file() else {}
    _check_one_model(path, set(weight_map.values()), shards)
    names = sorted(set(weight_map.values())) or _single(path) or _whole_set(path, shards)
    others = sorted({file.name for file in path.glob("*.safetensors")} - set(names))
    return WeightFiles(
        files=tuple(path / name for name in names), listed=frozenset(weight_map), passed_by=tuple(others)
    )


def check_no_adapter(path: Path) -> None:
    """Check that no adapter is in `path`: transformers would add one that lies beside a model to it, vLLM would not.

    Raises:
        InputError: names the file.
    """
    found = sorted(file.name for pattern in _ADAPTERS for file in path.glob(pattern))
    if found:
        raise InputError(
            f"{path} is a LoRA adapter, or has one beside a model ({found[0]}); merge it into its base model first, or "
            "take it out if it is no part of the model"
        )


def _check_one_model(path: Path, listed: set[str], shards: list[str]) -> None:
    one_file = (path / SINGLE_NAME).is_file() and SINGLE_NAME not in listed
    beside = INDEX_NAME if listed else shards[0] if shards else None
    if one_file and beside:
        raise InputError(
            f"{path} has {SINGLE_NAME} and {beside}, which are the weights of two models or the same twice; take out "
            "the files that are not the model's"
        )
    if SINGLE_NAME in listed and len(listed) > 1:
        raise InputError(f"{INDEX_NAME} in {path} lists {SINGLE_NAME} among shards; libraries read that file alone")


def _single(path: Path) -> list[str]:
    return [SINGLE_NAME] if (path / SINGLE_NAME).is_file() else []


def _whole_set(path: Path, shards: list[str]) -> list[str]:
    """The shards of a directory without an index, which must be all that their names count."""
    totals = sorted({_SHARD.sub(r"\2", name) for name in shards})
    if len(totals) > 1:
        raise InputError(f"{path} has shards of {totals[0]} and of {totals[1]}, which are two models' weights")
    if not totals:
        raise InputError(_nothing(path))
    wanted = [f"model-{number:05d}-of-{totals[0]}.safetensors" for number in range(1, int(totals[0]) + 1)]
    missing = [name for name in wanted if name not in shards]
    if missing or not wanted:
        lacks = missing[0] if missing else f"the first of {totals[0]} shards"
        raise InputError(f"{path} lacks {lacks}, without which the checkpoint is incomplete")
    return wanted


def _nothing(path: Path) -> str:
    others = sorted(file.name for file in path.glob("*.safetensors"))
    if others:
        return (
            f"{path} has no {SINGLE_NAME}, no {INDEX_NAME} and no model-00001-of-*.safetensors; if {others[0]} is the "
            f"whole model, name it {SINGLE_NAME}"
        )
    return f"no safetensors file in {path}; convert the checkpoint (pickle files are never loaded)"


def _read_index(index: Path) -> dict[str, str]:
    """File by tensor, each of which is there."""
    try:
        weight_map = read_object(index)["weight_map"]
        files = {str(tensor): str(file) for tensor, file in weight_map.items()}
    except (KeyError, AttributeError, TypeError) as error:
        raise InputError(f"{index} is not a safetensors index: {error!r}") from error
    if not files:
        raise InputError(f"{index} lists no tensor; write it again, or take it out if {SINGLE_NAME} is the model")
    there = {file.name for file in index.parent.iterdir() if file.is_file()}
    for name in sorted(set(files.values())):
        if name not in there or not name.endswith(".safetensors"):
            raise InputError(f"{index} lists {name:.200}, which is not in {index.parent}; the checkpoint is incomplete")
    return files
