"""The tensors of a training in files: each process writes its share, and any number of processes reads them.

PyTorch's distributed checkpoint, in safetensors files: nothing in them is executed by whoever reads them.
"""

from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load as load_state
from torch.distributed.checkpoint.state_dict_saver import async_save
from torch.distributed.tensor import DTensor
from torch.optim import AdamW

from storm_core.finetuning.config import CHECKPOINT_FILE_BYTES

if TYPE_CHECKING:
    from torch.distributed.checkpoint.state_dict_saver import AsyncSaveResponse

_MOMENTS = ("exp_avg", "exp_avg_sq")


def weights_of(trained: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The trained weights, by the name they are stored under."""
    return {f"weight.{name}": parameter.detach() for name, parameter in trained.items()}


def moments_of(trained: Mapping[str, nn.Parameter], optimizer: AdamW) -> dict[str, Tensor]:
    """What AdamW knows of each weight after its first step, by the name it is stored under."""
    return {
        f"{moment}.{name}": optimizer.state[parameter][moment]
        for name, parameter in trained.items()
        for moment in _MOMENTS
    }


def empty_moments(trained: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """What `moments_of` gives, to be filled."""
    moments = [(moment, name) for name in trained for moment in _MOMENTS]
    return {f"{moment}.{name}": torch.zeros_like(trained[name]).detach() for moment, name in moments}


def restore_moments(
    trained: Mapping[str, nn.Parameter], optimizer: AdamW, moments: Mapping[str, Tensor], done: int
) -> None:
    """Give AdamW what it knew after so many updates."""
    for name, parameter in trained.items():
        known = {moment: moments[f"{moment}.{name}"] for moment in _MOMENTS}
        # The fused AdamW counts where the weights are.
        optimizer.state[parameter] = {**known, "step": torch.tensor(float(done), device=parameter.device)}


def begin_save(tensors: Mapping[str, Tensor], directory: Path, group: dist.ProcessGroup) -> "Future[Any]":
    """Copy the tensors now, and write this process's share into `directory` while the training goes on."""
    saved: Future[Any] | AsyncSaveResponse = async_save(
        dict(tensors),
        storage_writer=HuggingFaceStorageWriter(str(directory), _files(tensors), save_distributed=True),
        process_group=group,
    )
    return cast("Future[Any]", saved)


def _files(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """In which of its files, counted from 1, a process writes each tensor or its share of it: as the main one says."""
    files: dict[str, int] = {}
    number, held = 1, 0
    for name, tensor in tensors.items():
        own = tensor.to_local().nbytes if isinstance(tensor, DTensor) else tensor.nbytes
        if held and held + own > CHECKPOINT_FILE_BYTES:
            number, held = number + 1, 0
        files[name] = number
        held += own
    return files


def load(tensors: Mapping[str, Tensor], directory: Path) -> None:
    """Fill the tensors, or this process's shares of them, from all files in `directory`."""
    load_state(dict(tensors), storage_reader=HuggingFaceStorageReader(str(directory)))
