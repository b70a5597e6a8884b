"""A head that is the embedding, stored once more: the copy adds nothing, and some programs write it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from storm_core.checkpoints.forward_settings import forward_settings
from storm_core.checkpoints.shapes import EMBEDDING, HEAD
from storm_core.errors import InputError

_ROWS_AT_A_TIME = 4096


def is_tied(config: Mapping[str, Any]) -> bool:
    """Whether the head of the model that this config describes is its embedding.

    Raises:
        InputError: the config contradicts itself.
    """
    return bool(forward_settings(config).get("tie_word_embeddings"))


def has_tied_copy(path: Path, config: Mapping[str, Any], stored: Mapping[str, tuple[Path, str]]) -> bool:
    """Whether the tensors, each with its file and its name there, hold a copy of the embedding as a tied model's head.

    Raises:
        InputError: they hold a head of another value, which transformers 5 would take and others would not.
    """
    if not {HEAD, EMBEDDING} <= stored.keys() or not is_tied(config):
        return False
    if not _are_equal(stored[HEAD], stored[EMBEDDING]):
        raise InputError(
            f"{HEAD} in {path} is no copy of {EMBEDDING}, though tie_word_embeddings in its config.json is true; "
            "set it to false if the head is the model's own, or remove the tensor"
        )
    return True


def _are_equal(one: tuple[Path, str], other: tuple[Path, str]) -> bool:
    """Compare them a few rows at a time: each may be as large as a gigabyte."""
    with safe_open(one[0], framework="pt") as file, safe_open(other[0], framework="pt") as other_file:
        head, embedding = file.get_slice(one[1]), other_file.get_slice(other[1])
        if head.get_shape() != embedding.get_shape() or head.get_dtype() != embedding.get_dtype():
            return False
        starts = range(0, head.get_shape()[0], _ROWS_AT_A_TIME)
        return all(
            torch.equal(head[start : start + _ROWS_AT_A_TIME], embedding[start : start + _ROWS_AT_A_TIME])
            for start in starts
        )
