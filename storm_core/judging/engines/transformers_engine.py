"""The judge as a transformers model in this process.

A batch of contexts is read once; each question then reuses the keys and values of that one prefill.

Shapes. B: examples of a batch, T: context tokens after padding, Q: question tokens, L: labels, V: vocabulary, K: heads
of keys and values, D: their size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import DynamicCache

from storm_core.judging.engines.interface import Answer
from storm_core.judging.wording.prompts import Context, Question

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# No token of a context sees it, so any token of any vocabulary does.
_PADDING_ID = 0


class TransformersEngine:
    """Answers by forward passes of a model in evaluation mode."""

    pads = True
    room: int | None = None

    def __init__(self, model: "PreTrainedModel") -> None:
        self.model = model
        self.window: int | None = getattr(model.config, "max_position_embeddings", None)

    def read(self, contexts: Sequence[Context]) -> "CachedReading":
        """One forward pass over the contexts.

        They are padded on the right: no token of a context then has padding before it, so the pass needs no mask, and
        attention skips the half of its work that causality rules out. What it cached is moved to the right afterwards.
        """
        width = max(len(context.ids) for context in contexts)
        device = self.model.device
        lengths_B = torch.tensor([len(context.ids) for context in contexts], device=device)
        ids_BT = torch.tensor([[*c.ids, *[_PADDING_ID] * (width - len(c.ids))] for c in contexts], device=device)
        # Without a config the cache keeps every position in every layer, even those with a sliding window, so that a
        # question can be cut off again; the model's masks still apply the windows.
        cache = DynamicCache()
        with torch.inference_mode():
            self.model(input_ids=ids_BT, past_key_values=cache, use_cache=True, logits_to_keep=1)
            _move_right(cache, lengths_B)
        mask_BT = (torch.arange(width, device=device) >= width - lengths_B[:, None]).long()
        return CachedReading(model=self.model, cache=cache, mask_BT=mask_BT)


@dataclass(frozen=True, kw_only=True)
class CachedReading:
    """Contexts that a model has read.

    Attributes:
        cache: keys and values of the contexts; questions are appended and cut off again.
        mask_BT: 1 where a context token stands, 0 at the padding on the left.
    """

    model: "PreTrainedModel"
    cache: DynamicCache
    mask_BT: Tensor  # noqa: N815 (shape suffix)

    def keep(self, rows: Sequence[int]) -> "CachedReading":
        """The same reading for these rows alone. The one it is taken from must not be asked any more."""
        index = torch.tensor(rows, device=self.mask_BT.device)
        self.cache.batch_select_indices(index)
        return CachedReading(model=self.model, cache=self.cache, mask_BT=self.mask_BT[index])

    def ask(self, question: Question) -> list[Answer]:
        """One forward pass over the question's tokens for each context."""
        rows = self.mask_BT.shape[0]
        device = self.mask_BT.device
        ids_BQ = torch.tensor(question.ids, device=device).expand(rows, -1)
        mask_BTQ = torch.cat([self.mask_BT, torch.ones_like(ids_BQ)], dim=1)
        positions_BQ = self.mask_BT.sum(dim=1, keepdim=True) + torch.arange(len(question.ids), device=device)
        with torch.inference_mode():
            output = self.model(
                input_ids=ids_BQ,
                attention_mask=mask_BTQ,
                position_ids=positions_BQ,
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        self.cache.crop(-len(question.ids))
        probabilities_BL, mass_B = label_probabilities(output.logits[:, -1], question.label_ids)
        return [
            Answer(probabilities=tuple(probabilities), label_mass=mass)
            for probabilities, mass in zip(probabilities_BL.tolist(), mass_B.tolist(), strict=True)
        ]


def _move_right(cache: DynamicCache, lengths_B: Tensor) -> None:
    """Move each row's keys and values so that its context, of this many tokens, ends where a question's tokens follow.

    A sliding window counts places in the cache; padding between context and question would shorten it.
    """
    width = cache.get_seq_length()
    if bool((lengths_B == width).all()):
        return
    shift_B1 = (width - lengths_B)[:, None]
    places_BT = (torch.arange(width, device=lengths_B.device) - shift_B1).clamp(min=0)
    for layer in cache.layers:
        for name in ("keys", "values"):
            cached_BKTD = getattr(layer, name)
            index_BKTD = places_BT[:, None, :, None].expand(cached_BKTD.shape)
            setattr(layer, name, cached_BKTD.gather(2, index_BKTD))


def label_probabilities(logits_BV: Tensor, label_ids: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Probabilities over the labels (B, L), summing to 1, and the labels' share of the whole vocabulary (B).

    The softmax over the vocabulary is taken in float32: bfloat16 has three digits, too few for small probabilities.
    Renormalising is done on its logarithms in float64, so that labels of tiny mass still compare and rows sum to 1.
    """
    log_probabilities_BV = logits_BV.float().log_softmax(dim=-1)
    labels_BL = log_probabilities_BV[:, list(label_ids)].double()
    return labels_BL.softmax(dim=-1), labels_BL.exp().sum(dim=-1)
