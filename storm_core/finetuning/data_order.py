"""Which examples make each update: a pure function of their lengths and the options, whoever computes them.

A batch is what one process takes at once, and an update adds up so many batches, whatever the number of processes. So
the same updates are made by one process and by many, and a resumed training finds the order again.
"""

import math
from collections.abc import Sequence

import torch

from storm_core.finetuning.config import TrainConfig
from storm_core.finetuning.packing import pack

# Batches among which examples of like length are looked for: enough to waste little padding, few enough to keep chance.
_BATCHES_PER_GROUP = 50
# Examples packed together: enough to fill the rows well, few enough for each pass to have packs of its own.
_EXAMPLES_PER_GROUP = 4096

# The numbers of the examples that are computed at once; in packs where there is packing.
Batch = Sequence[int]


def plan_updates(lengths: Sequence[int], config: TrainConfig) -> list[list[Batch]]:
    """The batches of each update of the whole training, in order; a pass begins with an update of its own."""
    updates: list[list[Batch]] = []
    for epoch in range(math.ceil(config.epochs)):
        of_pass = list(_updates_of_pass(lengths, config, epoch))
        share = min(1.0, config.epochs - epoch)
        updates += of_pass[: math.ceil(share * len(of_pass))]
    return updates


def _updates_of_pass(lengths: Sequence[int], config: TrainConfig, epoch: int) -> list[list[Batch]]:
    # Seeds follow one another from pass to pass.
    generator = torch.Generator().manual_seed(config.seed + epoch)
    if config.packing:
        batches = packed_batches(lengths, config.batch_size, config.max_length, generator)
    else:
        batches = length_grouped_batches(lengths, config.batch_size, generator)
    count = config.gradient_accumulation_steps
    return [batches[start : start + count] for start in range(0, len(batches), count)]


def length_grouped_batches(lengths: Sequence[int], batch_size: int, generator: torch.Generator) -> list[Batch]:
    """Batches in random order, each of examples of like length, so that little is padded; a short one comes last."""
    shuffled = _permute(len(lengths), generator)
    group = batch_size * _BATCHES_PER_GROUP
    batches: list[Batch] = []
    for start in range(0, len(shuffled), group):
        alike = sorted(shuffled[start : start + group], key=lambda index: lengths[index])
        batches += [alike[at : at + batch_size] for at in range(0, len(alike), batch_size)]
    # Passes of equal numbers of whole batches differ in their order alone.
    whole = [batch for batch in batches if len(batch) == batch_size]
    rest = [batch for batch in batches if len(batch) < batch_size]
    return [whole[number] for number in _permute(len(whole), generator)] + rest


def packed_batches(lengths: Sequence[int], batch_size: int, capacity: int, generator: torch.Generator) -> list[Batch]:
    """Batches in random order, each of `batch_size` packs of at most `capacity` tokens; a short one comes last."""
    shuffled = _permute(len(lengths), generator)
    packs: list[list[int]] = []
    for start in range(0, len(shuffled), _EXAMPLES_PER_GROUP):
        packs += pack(shuffled[start : start + _EXAMPLES_PER_GROUP], lengths, capacity)
    mixed = [packs[number] for number in _permute(len(packs), generator)]
    return [
        [example for one in mixed[at : at + batch_size] for example in one] for at in range(0, len(mixed), batch_size)
    ]


def _permute(count: int, generator: torch.Generator) -> list[int]:
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order
