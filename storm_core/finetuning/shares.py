"""Weights loaded by shares: a process never holds more of a model than its share and one tensor."""

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from storm_core.checkpoints.architecture import build_empty, check_tensors
from storm_core.checkpoints.checkpoint import Checkpoint
from storm_core.devices import resolve_device
from storm_core.heartbeat import activity

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def model_to_share(checkpoint: Checkpoint) -> "PreTrainedModel":
    """The model in float32, with its buffers but without data in its weights, which `fill_shares` reads.

    Raises:
        InputError: the tensors of the checkpoint are not the model's.
    """
    with activity("make the model"):
        model = build_empty(checkpoint.path, torch.float32)
        check_tensors(model, checkpoint)
    for part in model.modules():
        for name, buffer in part.named_buffers(recurse=False):
            setattr(part, name, torch.empty_like(buffer, device=resolve_device()))
    # As `from_pretrained` does: it computes buffers, which no checkpoint holds, and leaves weights without data alone.
    model.initialize_weights()  # type: ignore[no-untyped-call]
    model.train(False)
    return model


def fill_shares(module: nn.Module, model: "PreTrainedModel", checkpoint: Checkpoint) -> None:
    """Read this process's shares of the weights of `model`, in `module`, which FSDP has cut; nothing if it has data."""
    if not any(parameter.is_meta for parameter in model.parameters()):
        return
    buffers = [(part, *named) for part in model.modules() for named in part.named_buffers(recurse=False)]
    module.to_empty(device=resolve_device())
    for part, name, buffer in buffers:
        setattr(part, name, buffer)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    with activity("load the model by shares"), torch.no_grad():
        for name in checkpoint.tensors:
            _fill(parameters[name], checkpoint, name)


def _fill(parameter: nn.Parameter, checkpoint: Checkpoint, name: str) -> None:
    if not isinstance(parameter, DTensor):
        raise RuntimeError(f"{name} was not cut into shares")
    weight = checkpoint.load(name).to(device=parameter.device, dtype=parameter.dtype)
    # Every process reads the file, and none sends anything.
    parameter.copy_(distribute_tensor(weight, parameter.device_mesh, parameter.placements, src_data_rank=None))
