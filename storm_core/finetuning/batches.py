"""Tensors of a batch: padded to a rectangle, or the examples of a pack one after the other.

Shapes: B rows, T tokens, A positions with an answer, N examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain

import torch
from torch import Tensor

from storm_core.finetuning.tokenization import IGNORED, TokenizedExample, lengths


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

    def to(self, device: torch.device) -> "BatchTensors":
        """The same on a device."""
        return replace(
            self,
            input_ids=self.input_ids.to(device),
            positions=self.positions.to(device),
            labels=self.labels.to(device),
            position_ids=None if self.position_ids is None else self.position_ids.to(device),
            boundaries=None if self.boundaries is None else self.boundaries.to(device),
        )


def pad(examples: Sequence[TokenizedExample], padding: int) -> BatchTensors:
    """A row for each example."""
    longest = max(len(example.input_ids) for example in examples)
    rows = [example.input_ids + [padding] * (longest - len(example.input_ids)) for example in examples]
    labels = [example.labels + [IGNORED] * (longest - len(example.labels)) for example in examples]
    position_A, label_BA = _answers(torch.tensor(labels))
    return BatchTensors(input_ids=torch.tensor(rows), positions=position_A, labels=label_BA)


def join(examples: Sequence[TokenizedExample]) -> BatchTensors:
    """One row of all examples; no token sees, or predicts, one of another example."""
    of_example = lengths(examples)
    tokens = list(chain.from_iterable(example.input_ids for example in examples))
    labels = list(chain.from_iterable([IGNORED, *example.labels[1:]] for example in examples))
    places = list(chain.from_iterable(range(length) for length in of_example))
    position_A, label_BA = _answers(torch.tensor([labels]))
    return BatchTensors(
        input_ids=torch.tensor([tokens]),
        positions=position_A,
        labels=label_BA,
        position_ids=torch.tensor([places]),
        boundaries=torch.tensor([0, *accumulate(of_example)], dtype=torch.int32),
        longest=max(of_example),
    )


def _answers(label_BT: Tensor) -> tuple[Tensor, Tensor]:
    next_BT = label_BT[:, 1:]
    position_A = (next_BT != IGNORED).any(dim=0).nonzero().squeeze(1)
    return position_A, next_BT[:, position_A]
