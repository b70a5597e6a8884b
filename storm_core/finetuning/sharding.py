"""A model in several processes: a copy in each (DDP), or a share of each weight (FSDP2)."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from storm_core import processes
from storm_core.finetuning.answer_loss import AnswerLoss

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def distribute(loss: AnswerLoss, sharding: str, compute: torch.dtype) -> nn.Module:
    """`loss` as the processes compute it together; the gradients are their mean.

    Frozen weights have no gradient and no state of the optimizer, in copies and in shares.
    """
    if processes.world_size() == 1:
        return loss
    if sharding == "none":
        return DistributedDataParallel(loss, forward_sync_buffers=False, gradient_as_bucket_view=True)
    # Products in the precision asked for; gradients are added up over the processes in float32.
    policy = MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=torch.float32)
    for layer in layers(loss.model):
        fully_shard(layer, mp_policy=policy)
    fully_shard(loss, mp_policy=policy)
    return loss


def in_shares(sharding: str) -> bool:
    """Whether each process holds a share of the model."""
    return sharding == "full" and processes.world_size() > 1


def layers(model: "PreTrainedModel") -> list[nn.Module]:
    """The layers that make up the model, each a module that transformers never splits."""
    names = set(model._no_split_modules or ())
    return [module for module in model.modules() if type(module).__name__ in names]


@contextlib.contextmanager
def adding_up(module: nn.Module, *, last: bool) -> Iterator[None]:
    """While the body computes a batch's gradients: copies exchange them with the last batch of an update alone."""
    if isinstance(module, DistributedDataParallel) and not last:
        with module.no_sync():
            yield
    else:
        yield


def let_go(module: nn.Module) -> None:
    """Let go of weights that were put together and that no gradient made shares of again."""
    if isinstance(module, FSDPModule):
        module.reshard()


def whole(tensor: Tensor) -> Tensor:
    """A weight or a norm put together from its shares; every process must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
