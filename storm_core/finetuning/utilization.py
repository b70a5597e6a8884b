"""Model FLOPs utilization (MFU): what an update asks of the devices, over what they could multiply in its time."""

from collections.abc import Callable, Set
from typing import TYPE_CHECKING

import torch

from storm_core import processes
from storm_core.checkpoints.shapes import read_shapes
from storm_core.errors import InputError
from storm_core.finetuning.learner import Update
from storm_core.finetuning.model_flops import peak_flops_per_second, step_flops

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# The share of what all devices could have done in so many seconds; None where that is not known.
Utilization = Callable[[Update, float], float | None]


def utilization_of(model: "PreTrainedModel", trained: Set[str]) -> Utilization:
    """A function of an update and its seconds: executed model FLOPs (Chowdhery et al., 2022, appendix B), less padding.

    Nothing is counted for the gradients of frozen weights, nor for what is computed anew in the backward pass.
    """
    peak = peak_flops_per_second(torch.cuda.get_device_name()) if torch.cuda.is_available() else None
    try:
        shapes = read_shapes(model.config.to_dict(), "the model")
    except InputError:  # Of another architecture: its operations are not known.
        peak = None
    if peak is None:
        return lambda update, seconds: None
    peak_of_all = peak * processes.world_size()

    def utilization(update: Update, seconds: float) -> float:
        flops = step_flops(shapes, trained, lengths=update.lengths, head_tokens=update.answers)
        return flops.executed / seconds / peak_of_all

    return utilization
