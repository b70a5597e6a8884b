"""In which precision weights are held while others are trained."""

from typing import TYPE_CHECKING

import torch

from storm_core.checkpoints.checkpoint import Checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def hold_frozen_in_bfloat16(model: "PreTrainedModel", checkpoint: Checkpoint) -> None:
    """Hold in bfloat16 those frozen matrices that autocast to bfloat16 would cast anew for every batch.

    Losses stay the same to the last bit, and a frozen element takes 2 bytes in place of 6: autocast keeps the cast copy
    until the backward pass. Left in float32 are what the checkpoint does not store in bfloat16, which would be rounded,
    and all that is no linear module's: an embedding or a norm would change the precision of what flows through it.
    """
    embeddings = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    elsewhere = {id(module.weight) for module in embeddings}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and id(module.weight) not in elsewhere:
            stored = checkpoint.tensors.get(f"{name}.weight")
            if not module.weight.requires_grad and stored is not None and stored.dtype == "BF16":
                module.weight.data = module.weight.data.to(torch.bfloat16)
