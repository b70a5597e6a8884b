"""The loss of a batch: what is computed forwards, in whichever processes and shards.

Shapes: B rows, T tokens, A positions with an answer, H hidden, V vocabulary.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from storm_core.finetuning.attention import PACKED, attend_inside_examples
from storm_core.finetuning.batches import BatchTensors
from storm_core.finetuning.config import MOST_LOGITS
from storm_core.finetuning.tokenization import IGNORED

if TYPE_CHECKING:
    from transformers import PreTrainedModel


# Where a config has one of these, the model does more to logits than its head.
_CHANGED_LOGITS = ("final_logit_softcapping", "logit_scale", "logits_scaling")


class AnswerLoss(nn.Module):
    """A causal language model whose output is the cross-entropy summed over the answers of a batch.

    Logits are computed where an answer stands, and nowhere else; where they are many, a chunk at a time.
    """

    def __init__(self, model: "PreTrainedModel", autocast: torch.dtype | None) -> None:
        """`autocast` is the precision of the matrix products, where it is not that of the weights."""
        super().__init__()
        self.model = model
        self._autocast = autocast

    def forward(self, batch: BatchTensors) -> Tensor:
        """The sum over the labelled tokens, in float32."""
        packed: dict[str, Any] = {}
        if batch.boundaries is not None:
            packed = {
                "position_ids": batch.position_ids,
                "boundaries": batch.boundaries,
                "longest": batch.longest,
            }
        # Of a batch without an answer one position is computed, so that gradients, all of them zero, go the same way.
        position_A = batch.positions if len(batch.positions) else torch.zeros_like(batch.input_ids[0, :1])
        label_BA = batch.labels if len(batch.positions) else torch.full_like(batch.input_ids[:, :1], IGNORED)
        chunk = self._chunk(batch.input_ids)
        with self._precision(batch.input_ids.device):
            if len(position_A) <= chunk:
                logits_BAV = self.model(
                    input_ids=batch.input_ids, logits_to_keep=position_A, use_cache=False, **packed
                ).logits
                return _sum_losses(logits_BAV, label_BA)
            hidden_BTH = self.model.base_model(input_ids=batch.input_ids, use_cache=False, **packed).last_hidden_state
            parts = zip(torch.split(position_A, chunk), torch.split(label_BA, chunk, dim=1), strict=True)
            losses = [self._project(hidden_BTH[:, positions], labels) for positions, labels in parts]
        return torch.stack(losses).sum()

    def _project(self, hidden_BAH: Tensor, label_BA: Tensor) -> Tensor:
        """The loss of some positions, whose logits the backward pass computes anew."""
        head: nn.Module = self.model.get_output_embeddings()  # type: ignore[no-untyped-call]
        loss: Tensor = checkpoint(
            lambda hidden, labels: _sum_losses(head(hidden), labels), hidden_BAH, label_BA, use_reentrant=False
        )
        return loss

    def _chunk(self, input_ids_BT: Tensor) -> int:
        """How many positions are projected onto the vocabulary at once."""
        config = self.model.config
        if any(getattr(config, name, None) for name in _CHANGED_LOGITS):
            return input_ids_BT.shape[1]
        return max(1, MOST_LOGITS // (len(input_ids_BT) * int(config.vocab_size)))

    def _precision(self, device: torch.device) -> AbstractContextManager[Any]:
        return torch.autocast(device.type, dtype=self._autocast) if self._autocast else nullcontext()


def _sum_losses(logits_BAV: Tensor, label_BA: Tensor) -> Tensor:
    return cross_entropy(logits_BAV.flatten(0, 1).float(), label_BA.flatten(), ignore_index=IGNORED, reduction="sum")


def attend_in_packs(model: "PreTrainedModel") -> None:
    """Have the model attend inside the examples of a pack.

    Raises:
        ValueError: the model's attention cannot be exchanged.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(PACKED, attend_inside_examples)
    model.set_attn_implementation(PACKED)
