"""Read and write model checkpoints tensor by tensor; safetensors only.

Memory holds one tensor while reading and one shard while writing, whatever the size of the model.
"""

import math
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from storm_core.checkpoints.acceptance import check_dtypes, check_taken
from storm_core.checkpoints.completeness import check_whole
from storm_core.checkpoints.older_versions import write_for_older_versions
from storm_core.checkpoints.settings_files import read_model_config, read_whole_config, write_settings
from storm_core.checkpoints.shapes import HEAD
from storm_core.checkpoints.text_part import has_text_part, text_name
from storm_core.checkpoints.tied_head import has_tied_copy, is_tied
from storm_core.checkpoints.weight_files import (
    INDEX_NAME,
    SINGLE_NAME,
    WeightFiles,
    check_no_adapter,
    find_weight_files,
)
from storm_core.checkpoints.wrapper_names import model_name
from storm_core.errors import InputError
from storm_core.progress import report

# Small enough to hold beside one tensor on a laptop, large enough that an 8B model has few files.
SHARD_BYTES = 2 << 30
# What older versions stored and every one computes from the config: rotary frequencies and angles, and causal masks.
_COMPUTED = re.compile(r"\.(rotary_emb\.(\w*inv_freq|cos_cached|sin_cached)|attn\.masked_bias)$")
# What a multimodal model says of images and sounds, of which no stage writes the parts.
_OF_OTHER_PARTS = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
# Where transformers keeps the chat templates that have names, such as that for conversations with tools.
_OTHER_TEMPLATES = "additional_chat_templates"
COMPANION_SUFFIXES = (".json", ".jinja", ".txt", ".model")


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """Where a tensor lies, its shape, and its dtype in safetensors' spelling (`BF16`, `F8_E4M3`, ...).

    Attributes:
        stored_as: its name in the file, which may be another than the model's.
    """

    file: Path
    shape: tuple[int, ...]
    dtype: str
    stored_as: str

    @property
    def bytes(self) -> int:
        """How many its numbers take: the first number in a dtype's name are its bits, and `BOOL` has 8."""
        bits = re.search(r"\d+", self.dtype)
        return math.prod(self.shape) * (int(bits[0]) if bits else 8) // 8


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model directory: its `config.json` and the tensors of its safetensors files, in file order.

    Left out is what adds nothing: buffers that every version computes from the config, and a head that is tied to the
    embedding, stored once more.

    Attributes:
        files: those of the model's weights; others in the directory are no part of it.
    """

    path: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, TensorInfo]
    files: tuple[Path, ...]

    @property
    def bytes(self) -> int:
        """How many its tensors take."""
        return sum(info.bytes for info in self.tensors.values())

    def load(self, name: str) -> Tensor:
        """The tensor `name`, on the CPU, in its stored dtype.

        Raises:
            InputError: no such tensor.
        """
        if name not in self.tensors:
            raise InputError(f"no tensor {name!r} in {self.path}; is it a LoRA adapter or another architecture?")
        info = self.tensors[name]
        with safe_open(info.file, framework="pt") as file:
            tensor: Tensor = file.get_tensor(info.stored_as)
        return tensor


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a model directory without loading its tensors.

    Raises:
        InputError: no config.json, code from a hub in the config, no safetensors or those of two models, a file that
            cannot be read, a model that some stage does not take, or one that is not whole.
    """
    check_no_adapter(path)
    config = read_model_config(path)
    found = find_weight_files(path, config)
    if found.passed_by:
        report(f"{path}: {', '.join(found.passed_by)} not read; the weights are {found.files[0].name}{_more(found)}")
    stored = _stored(found)
    _check_listed(path, config, found, stored)
    tensors = _named(path, stored)
    check_taken(path, config, {name: info.shape for name, info in tensors.items()})
    if has_tied_copy(path, config, {name: (info.file, info.stored_as) for name, info in tensors.items()}):
        del tensors[HEAD]
    check_whole(path, config, {name: info.shape for name, info in tensors.items()})
    check_dtypes(path, config, {name: info.dtype for name, info in tensors.items()})
    return Checkpoint(path=path, config=config, tensors=tensors, files=found.files)


def _more(found: WeightFiles) -> str:
    return f" and {len(found.files) - 1} more" if len(found.files) > 1 else ""


def _stored(found: WeightFiles) -> dict[str, TensorInfo]:
    """Every tensor of the files, by its name there, each of which is in one file alone."""
    tensors: dict[str, TensorInfo] = {}
    for file in found.files:
        for name, info in _read_header(file).items():
            if name in tensors:
                raise InputError(f"tensor {name} is in {tensors[name].file} and in {file}; take out one of the two")
            tensors[name] = info
    return tensors


def _check_listed(path: Path, config: Mapping[str, Any], found: WeightFiles, tensors: Mapping[str, TensorInfo]) -> None:
    """Check that what an index lists is there, but for what adds nothing: of a tied head some write the name alone."""
    missing = sorted(name for name in found.listed - tensors.keys() if not _COMPUTED.search(name))
    if missing and is_tied(config):
        missing = [name for name in missing if text_name(model_name(name)) != HEAD]
    if missing:
        raise InputError(
            f"{path / INDEX_NAME} lists {missing[0]}, which none of its files has; the checkpoint is incomplete"
        )


def _named(path: Path, stored: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """The tensors by their names in the model: without wrappers' parts, and of a multimodal model the text part's."""
    is_text_part = has_text_part(read_whole_config(path))
    tensors: dict[str, TensorInfo] = {}
    for stored_as, info in stored.items():
        own = model_name(stored_as)
        name = text_name(own) if is_text_part else own
        if name is None or _COMPUTED.search(name):
            continue
        if name in tensors:
            raise InputError(f"{path} has {name} twice, as {tensors[name].stored_as} and as {stored_as}; keep one")
        tensors[name] = replace(info, stored_as=stored_as)
    if not tensors:
        raise InputError(f"{path} has safetensors files without tensors in them")
    return tensors


def write_checkpoint(
    directory: Path,
    tensors: Iterable[tuple[str, Tensor]],
    *,
    source: Path,
    config_changes: Mapping[str, Any] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write tensors as safetensors shards into `directory`, with tokenizer and config of the model in `source`."""
    shards, total_bytes = _write_shards(directory, tensors, shard_bytes)
    if len(shards) == 1:
        next(iter(shards)).rename(directory / SINGLE_NAME)
    else:
        _write_index(directory, shards, total_bytes)
    copy_companions(source, directory, config_changes)


def copy_companions(source: Path, directory: Path, config_changes: Mapping[str, Any] | None = None) -> None:
    """Copy tokenizer, chat templates and configs of a model directory; `config_changes` go into `config.json`."""
    for file in sorted(source.iterdir()):
        ours = file.name in ("manifest.json", INDEX_NAME, "config.json", *_OF_OTHER_PARTS)
        if file.is_file() and file.suffix in COMPANION_SUFFIXES and not ours:
            shutil.copyfile(file, directory / file.name)
    for file in sorted(source.glob(f"{_OTHER_TEMPLATES}/*.jinja")):
        (directory / _OTHER_TEMPLATES).mkdir(exist_ok=True)
        shutil.copyfile(file, directory / _OTHER_TEMPLATES / file.name)
    write_settings(directory / "config.json", {**read_model_config(source), **(config_changes or {})})
    write_for_older_versions(directory)


def _read_header(file: Path) -> dict[str, TensorInfo]:
    try:
        with safe_open(file, framework="pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
            return {
                name: TensorInfo(file=file, shape=tuple(part.get_shape()), dtype=part.get_dtype(), stored_as=name)
                for name, part in slices.items()
            }
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file} cannot be read as safetensors: {error}") from error


def _write_shards(
    directory: Path, tensors: Iterable[tuple[str, Tensor]], shard_bytes: int
) -> tuple[dict[Path, list[str]], int]:
    """Shard files, under provisional names, with the tensors in each; and the bytes of all tensors."""
    shards: dict[Path, list[str]] = {}
    held: dict[str, Tensor] = {}
    held_bytes = total_bytes = 0

    def flush() -> None:
        shard = directory / f"shard-{len(shards)}.safetensors"
        save_file(held, shard, metadata={"format": "pt"})
        shard.chmod(0o644)
        shards[shard] = list(held)
        held.clear()

    for name, tensor in tensors:
        if held and held_bytes + tensor.nbytes > shard_bytes:
            flush()
            held_bytes = 0
        held[name] = tensor.detach().to("cpu").contiguous()
        held_bytes += tensor.nbytes
        total_bytes += tensor.nbytes
    if held:
        flush()
    if not shards:
        raise ValueError(f"no tensors to write to {directory}")
    return shards, total_bytes


def _write_index(directory: Path, shards: Mapping[Path, list[str]], total_bytes: int) -> None:
    weight_map = {}
    for number, (shard, tensors) in enumerate(shards.items(), start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        shard.rename(directory / name)
        weight_map.update(dict.fromkeys(tensors, name))
    index = {"metadata": {"total_size": total_bytes}, "weight_map": dict(sorted(weight_map.items()))}
    write_settings(directory / INDEX_NAME, index)


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype of a safetensors dtype name.

    Raises:
        InputError: a dtype that no stage handles.
    """
    known = {
        "F32": torch.float32,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "F8_E4M3": torch.float8_e4m3fn,
    }
    if name not in known:
        raise InputError(f"tensors of dtype {name} are not handled; use one of {', '.join(known)}")
    return known[name]
