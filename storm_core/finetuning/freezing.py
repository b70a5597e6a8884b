"""Which parameters are trained, and the proof that no other changed."""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from torch import Tensor

from storm_core.artifacts import Artifact
from storm_core.checkpoints.checkpoint import Checkpoint, TensorInfo
from storm_core.errors import InputError, first_line
from storm_core.progress import progress

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
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, or no date or number
        raise InputError(f"{path} is not YAML: {first_line(error)}") from error
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


def prove_freezing(
    before: Mapping[str, str], after: Mapping[str, str], trained: set[str], tensors: Mapping[str, TensorInfo]
) -> dict[str, Any]:
    """The content of `freezing.json`, from the SHA-256 of each tensor as stored before and after training.

    A trained tensor whose update was too small for the stored dtype has equal hashes; they are counted.

    Raises:
        RuntimeError: a tensor appeared or vanished, or a frozen one changed.
    """
    if set(before) != set(after):
        raise RuntimeError(f"tensors appeared or vanished in training: {sorted(set(before) ^ set(after))}")
    changed = [name for name in before if name not in trained and before[name] != after[name]]
    if changed:
        raise RuntimeError(f"{len(changed)} frozen tensors changed in training, the first is {changed[0]}")
    unchanged = sum(name in trained and before[name] == after[name] for name in before)
    return {
        "trained": {**_count(tensors, before.keys() & trained), "unchanged_by_rounding": unchanged},
        "frozen": _count(tensors, before.keys() - trained),
        "tensors": {
            name: {"trained": name in trained, "sha256_before": before[name], "sha256_after": after[name]}
            for name in before
        },
    }


def hash_tensors(checkpoint: Checkpoint) -> dict[str, str]:
    """SHA-256, in hex, of the bytes of every tensor as stored."""
    names = progress(checkpoint.tensors, total=len(checkpoint.tensors), description="hash", unit="tensors")
    return {name: _hash(checkpoint.load(name)) for name in names}


def _hash(tensor: Tensor) -> str:
    stored_bytes = tensor.contiguous().view(-1).view(torch.uint8).numpy()
    return hashlib.sha256(stored_bytes.data).hexdigest()


def _count(tensors: Mapping[str, TensorInfo], names: Set[str]) -> dict[str, int]:
    return {"tensors": len(names), "parameters": sum(math.prod(tensors[name].shape) for name in names)}
