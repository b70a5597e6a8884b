"""The trained weights between checkpoint and model: checked when they come in, cast back when they go out."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from storm_core.checkpoints.architecture import parts_of
from storm_core.checkpoints.checkpoint import Checkpoint, torch_dtype, write_checkpoint
from storm_core.checkpoints.forward_settings import forward_settings
from storm_core.errors import InputError
from storm_core.finetuning.sharding import whole
from storm_core.progress import progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def check_trainable(checkpoint: Checkpoint) -> None:
    """Refuse quantized weights.

    Raises:
        InputError: the config names a quantization.
    """
    if "quantization_config" in checkpoint.config:
        raise InputError(f"{checkpoint.path} is quantized (quantization_config); train the model it was made from")


def check_packing(checkpoint: Checkpoint, longest: int) -> None:
    """Refuse a model whose attention no pack can have: with caps on its scores, or windows shorter than an example.

    Raises:
        InputError: says which.
    """
    settings = forward_settings(checkpoint.config)
    windows = [window for window in settings["sliding windows by layer"] if window]
    what = f"a window of {min(windows)} tokens" if windows and min(windows) < longest else None
    if settings.get("attn_logit_softcapping"):
        what = "caps on its scores (attn_logit_softcapping)"
    if what:
        raise InputError(
            f"attention in {checkpoint.path} has {what}, which attention inside the examples of a pack has not (the "
            f"longest has {longest} tokens); set packing=false"
        )


def write_weights(model: "PreTrainedModel", checkpoint: Checkpoint, directory: Path) -> None:
    """Write the model's weights under the checkpoint's tensor names, each in the dtype it had there.

    Raises:
        RuntimeError: a parameter that was to be trained still has its old value.
    """
    write_checkpoint(directory, _cast_back(model, checkpoint), source=checkpoint.path)


def hand_over_weights(model: "PreTrainedModel", checkpoint: Checkpoint) -> None:
    """In the other processes of a training: give the main one their shares, while it writes the weights."""
    parts = parts_of(model)
    for name in checkpoint.tensors:
        whole(parts[name])


def _cast_back(model: "PreTrainedModel", checkpoint: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    parts = parts_of(model)
    tensors = checkpoint.tensors
    for name, info in progress(tensors.items(), total=len(tensors), description="write", unit="tensors"):
        weight = whole(parts[name].detach()).cpu()
        # Compared in float32: a small change may well round back to the same stored value.
        if parts[name].requires_grad and weight.equal(checkpoint.load(name).float()):
            raise RuntimeError(f"{name} was to be trained, but did not change")
        yield name, weight.to(torch_dtype(info.dtype))
