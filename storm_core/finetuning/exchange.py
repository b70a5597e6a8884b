"""What the processes of a training tell each other: numbers to add up, and what each has to say."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist

from storm_core import processes
from storm_core.errors import InputError
from storm_core.finetuning.config import TrainConfig


def check_processes(config: TrainConfig) -> None:
    """Make sure that there are as many processes as asked for, and that they can share each update evenly.

    Raises:
        InputError: says how many there are.
    """
    started, batches = processes.world_size(), config.gradient_accumulation_steps
    if config.processes not in (0, started):
        raise InputError(f"processes={config.processes} were asked for, and torchrun started {started}")
    if batches % started:
        raise InputError(
            f"gradient_accumulation_steps={batches} cannot be shared by {started} processes; an update adds up so many "
            f"batches over all of them, so give a multiple of {started}"
        )


def add_up(numbers: Sequence[float]) -> list[float]:
    """Each number summed over the processes, in float64."""
    if processes.world_size() == 1:
        return list(numbers)
    # On the CPU, where gloo adds: these few bytes wait for no kernel of a GPU.
    total = torch.tensor(numbers, dtype=torch.float64)
    dist.all_reduce(total)
    summed: list[float] = total.tolist()
    return summed


def any_process(answer: bool) -> bool:
    """Whether some process answers yes."""
    return add_up([float(answer)])[0] > 0


def gather(words: Any) -> list[Any]:
    """What each process has to say, in the order of their numbers."""
    if processes.world_size() == 1:
        return [words]
    said: list[Any] = [None] * processes.world_size()
    dist.all_gather_object(said, words)
    return said
