"""The order in which examples are trained on: random, with each batch's examples of like length."""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

# Batches among which examples of like length are looked for: enough to waste little padding, few enough to keep chance.
_BATCHES_PER_GROUP = 50


class LengthGroupedSampler(Sampler[int]):
    """Indices in random order, but each batch's examples of like length, so that little is padded.

    Batches come in random order too, unlike in the sampler of transformers, which runs from long to short. The order of
    a pass depends on the seed and on the number of the pass alone, so that a resumed training finds it again.
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the pass, counted from 0, whose order comes next; the trainer does so before each."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        # Seeds follow one another from pass to pass, as in accelerate's SeedableRandomSampler.
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        shuffled = _permute(len(self._lengths), generator)
        group = self._batch_size * _BATCHES_PER_GROUP
        batches: list[list[int]] = []
        for start in range(0, len(shuffled), group):
            alike = sorted(shuffled[start : start + group], key=lambda index: self._lengths[index])
            batches += [alike[at : at + self._batch_size] for at in range(0, len(alike), self._batch_size)]
        # A short batch anywhere but at the end would shift the limits of all that follow.
        whole = [batch for batch in batches if len(batch) == self._batch_size]
        rest = [batch for batch in batches if len(batch) < self._batch_size]
        for number in _permute(len(whole), generator):
            yield from whole[number]
        for batch in rest:
            yield from batch


def _permute(count: int, generator: torch.Generator) -> list[int]:
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order
