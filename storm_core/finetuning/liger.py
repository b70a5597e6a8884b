"""Liger's kernels in place of a model's own norms, rotations and gated activations, on a GPU.

They are Triton programs in a wheel (BSD-2-Clause) and come from nowhere else. Liger's loss is left out: `AnswerLoss`
has its own.
"""

import importlib.util
from typing import TYPE_CHECKING

from storm_core.devices import resolve_device
from storm_core.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def check_liger(model_type: str) -> None:
    """Make sure that Liger is there and has kernels for such models.

    Raises:
        InputError: there is no GPU, no Liger, or no kernel for the family.
    """
    device = resolve_device().type
    if device != "cuda":
        raise InputError(f"kernels=liger is for NVIDIA's GPUs, and this is a {device.upper()}; set kernels=torch")
    if not all(importlib.util.find_spec(package) for package in ("liger_kernel", "triton")):
        raise InputError(
            "kernels=liger needs liger-kernel and triton; install storm-kubeflow[liger], or set kernels=torch"
        )
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN

    if model_type not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        raise InputError(f"liger-kernel has no kernels for models of the type {model_type!r}; set kernels=torch")


def use_liger(model: "PreTrainedModel") -> None:
    """Have `model` compute by Liger's kernels; the rotation of its family is exchanged in the whole process."""
    from liger_kernel.transformers import _apply_liger_kernel_to_instance

    # What a family has no kernel for, Liger leaves out.
    _apply_liger_kernel_to_instance(model=model, cross_entropy=False, fused_linear_cross_entropy=False)
