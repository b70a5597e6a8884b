"""Tensors of a batch: padded to a rectangle, or the examples of a pack one after the other.

Shapes: B rows, T tokens, A positions with an answer, N examples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from storm_core.finetuning.tokenization import IGNORED, TokenizedExample

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class BatchTensors:
    """What the model computes a loss from.

    Attributes:
        input_ids: the tokens (B, T); where rows differ in length the shorter end in padding, which a causal model's
            answers cannot see, so that attention needs no mask.
        positions: the positions (A) that predict an answer's token in some row.
        labels: the tokens to predict there (B, A), `IGNORED` where a row has none.
        position_ids: in a pack, the place (B, T) of each token in its example.
        boundaries: in a pack, where each example begins, and where the last one ends (N + 1).
        longest: in a pack, the tokens of the longest example.
    """

    input_ids: Tensor
    positions: Tensor
    labels: Tensor
    position_ids: Tensor | None = None
    boundaries: Tensor | None = None
    longest: int = 0

    def pinned(self, device: torch.device) -> "BatchTensors":
        """The same where a GPU reads it by itself; unchanged where the device is none."""
        if device.type != "cuda":
            return self
        # A thread begins with the first GPU, whichever its process has chosen, and would take memory there.
        with torch.cuda.device(device):
            return self._each(Tensor.pin_memory)

    def to(self, device: torch.device) -> "BatchTensors":
        """The same on a device, which nobody waits for where the memory is pinned."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "BatchTensors":
        changed: dict[str, Any] = {
            name: change(value) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **changed)


def pad(examples: Sequence[TokenizedExample], padding: int) -> BatchTensors:
    """A row for each example."""
    shape = len(examples), max(len(example.input_ids) for example in examples)
    token_BT, label_BT = np.full(shape, padding), np.full(shape, IGNORED)
    for row, example in enumerate(examples):
        token_BT[row, : len(example.input_ids)] = example.input_ids
        label_BT[row, : len(example.labels)] = example.labels
    position_A, label_BA = _answers(label_BT)
    return BatchTensors(input_ids=torch.from_numpy(token_BT), positions=position_A, labels=label_BA)


def join(examples: Sequence[TokenizedExample]) -> BatchTensors:
    """One row of all examples; no token sees, or predicts, one of another example."""
    lengths = [len(example.input_ids) for example in examples]
    starts = [0, *accumulate(lengths)]
    token_T = np.concatenate([example.input_ids for example in examples], dtype=np.int64)
    label_T = np.concatenate([example.labels for example in examples], dtype=np.int64)
    label_T[starts[:-1]] = IGNORED
    place_T = np.concatenate([np.arange(length) for length in lengths])
    position_A, label_BA = _answers(label_T[None])
    return BatchTensors(
        input_ids=torch.from_numpy(token_T[None]),
        positions=position_A,
        labels=label_BA,
        position_ids=torch.from_numpy(place_T[None]),
        boundaries=torch.tensor(starts, dtype=torch.int32),
        longest=max(lengths),
    )


def _answers(label_BT: "NDArray[np.int64]") -> tuple[Tensor, Tensor]:
    next_BT = label_BT[:, 1:]
    (position_A,) = (next_BT != IGNORED).any(axis=0).nonzero()
    return torch.from_numpy(position_A), torch.from_numpy(next_BT[:, position_A])
