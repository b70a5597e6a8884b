"""Which parameters are trained, and the proof that no other changed."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from torch import Tensor

from storm_core.artifacts import Artifact
from storm_core.checkpoints import Checkpoint
from storm_core.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

YAML_NAME = "unfrozen_parameters.yaml"
_KEY = "unfrozen_parameters"


def find_yaml(scan: Artifact) -> Path:
    """The YAML of a scan: `unfrozen_parameters.yaml`, or the only YAML file of a foreign directory.

    Raises:
        InputError: there is none, or several.
    """
    names = [entry.path for entry in scan.manifest.files]
    if YAML_NAME in names:
        return scan.file(YAML_NAME)
    found = [name for name in names if name.endswith((".yaml", ".yml"))]
    if len(found) != 1:
        raise InputError(f"{scan.path} holds {len(found)} YAML files; give one, named {YAML_NAME}")
    return scan.file(found[0])


def read_patterns(path: Path) -> list[str]:
    """The entries of `unfrozen_parameters` in a YAML that Spectrum wrote or axolotl reads.

    Raises:
        InputError: the file has no such list of strings, or the list is empty.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
    patterns = content.get(_KEY) if isinstance(content, dict) else None
    if not patterns:
        raise InputError(f"{path} unfreezes nothing; list the parameters to train under {_KEY}")
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise InputError(f"{_KEY} in {path} is not a list of strings")
    return patterns


def match_parameters(patterns: Iterable[str], names: Iterable[str], source: Path) -> set[str]:
    """The parameter names that some pattern matches, in axolotl's way: a regular expression from the name's start.

    A bare module name thus matches the module's weight and bias.

    Raises:
        InputError: a pattern is no regular expression, or matches no parameter.
    """
    listed = list(names)
    matched: set[str] = set()
    for pattern in patterns:
        try:
            found = [name for name in listed if re.match(pattern, name)]
        except re.error as error:
            raise InputError(f"{pattern!r} in {source} is not a regular expression: {error}") from error
        if not found:
            raise InputError(f"{pattern!r} in {source} matches no parameter; was the scan made from another model?")
        matched.update(found)
    return matched


def unfreeze(model: "PreTrainedModel", patterns: Iterable[str], source: Path) -> None:
    """Let gradients reach the parameters that match, and no others.

    Tied weights are one parameter under two names: a pattern that matches either trains both, so `^lm_head.weight$`,
    which every Spectrum YAML has, also fits a model whose head is its embedding.

    Raises:
        InputError: as `match_parameters`.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    model.requires_grad_(False)
    for name in match_parameters(patterns, parameters, source):
        parameters[name].requires_grad_(True)


def trained_names(model: "PreTrainedModel") -> set[str]:
    """Every name, tied ones included, of the parameters that gradients reach."""
    named = model.named_parameters(remove_duplicate=False)
    return {name for name, parameter in named if parameter.requires_grad}


def check_same_tensors(model: "PreTrainedModel", checkpoint: Checkpoint) -> None:
    """Make sure that the model is the checkpoint, no weight renamed, left out or made up.

    Raises:
        InputError: names a tensor that is in one of them only.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    stored = set(checkpoint.tensors)
    for name in sorted(stored - set(parameters)):
        raise InputError(f"tensor {name} in {checkpoint.path} is no parameter of {type(model).__name__} once loaded")
    loaded = {id(parameters[name]) for name in stored}
    for name, parameter in parameters.items():
        if id(parameter) not in loaded:
            raise InputError(f"{type(model).__name__} needs {name}, which is not in {checkpoint.path}")


def prove_freezing(before: Mapping[str, str], after: Mapping[str, str], trained: set[str], sizes: Mapping[str, int]) -> dict[str, Any]:
    """The content of `freezing.json`: SHA-256 of each tensor before and after, and counts of trained and frozen.

    Raises:
        RuntimeError: a tensor is missing, or a frozen one changed.
    """
    if set(before) != set(after):
        raise RuntimeError(f"tensors appeared or vanished in training: {sorted(set(before) ^ set(after))}")
    changed = [name for name in before if name not in trained and before[name] != after[name]]
    if changed:
        raise RuntimeError(f"{len(changed)} frozen tensors changed in training, the first is {changed[0]}")
    groups = {"trained": [name for name in before if name in trained]}
    groups["frozen"] = [name for name in before if name not in trained]
    counts = {
        group: {"tensors": len(names), "parameters": sum(sizes[name] for name in names)}
        for group, names in groups.items()
    }
    tensors = {
        name: {"trained": name in trained, "sha256_before": before[name], "sha256_after": after[name]} for name in before
    }
    return {**counts, "tensors": tensors}


def hash_checkpoint(checkpoint: Checkpoint) -> dict[str, str]:
    """SHA-256, in hex, of the bytes of every tensor as stored."""
    return {name: hash_tensor(checkpoint.load(name)) for name in checkpoint.tensors}


def hash_tensor(tensor: Tensor) -> str:
    """SHA-256, in hex, of the tensor's bytes, row by row."""
    raw = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
    return hashlib.sha256(raw.numpy().data).hexdigest()
