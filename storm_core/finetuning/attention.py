"""Attention inside the examples of a pack: no token sees one of another example.

Torch's own kernels do it: `torch.nn.attention.varlen` (FlashAttention) on a GPU in half precision, elsewhere one causal
attention for each example, which is the block diagonal of a mask without the mask. A compiled layer cannot follow
lengths that differ from pack to pack, and has the mask.

Shapes: B rows (one), H heads, T tokens, D head size.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

PACKED = "storm_packed"
_HALF = (torch.bfloat16, torch.float16)
# Capability 8.0 (Ampere) is the first that FlashAttention-2 has kernels for.
_OLDEST_CAPABILITY = (8, 0)


def attend_inside_examples(
    module: torch.nn.Module,
    query_BHTD: Tensor,
    key_BHTD: Tensor,
    value_BHTD: Tensor,
    attention_mask: Tensor | None,
    *,
    boundaries: Tensor,
    longest: int,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """What a model of transformers calls for attention; returns B, T, H, D.

    Raises:
        ValueError: the model asks for attention over a window, or drops some of it, which no path here does.
    """
    if dropout or (sliding_window is not None and sliding_window < longest):
        raise ValueError("packing has no attention with dropout, nor over a window shorter than an example")
    query, key, value = (_as_computed(part) for part in (query_BHTD, key_BHTD, value_BHTD))
    attend = _varlen if _has_varlen(query) else _masked if torch.compiler.is_compiling() else _one_by_one
    return attend(query, key, value, boundaries, longest, scaling), None


def _as_computed(tensor: Tensor) -> Tensor:
    """In the precision of autocast: a rotation in float32 leaves queries and keys in that, and varlen takes no such."""
    device = tensor.device.type
    return tensor.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else tensor


def _varlen(
    query_BHTD: Tensor, key_BHTD: Tensor, value_BHTD: Tensor, boundaries: Tensor, longest: int, scaling: float | None
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    query_THD, key_THD, value_THD = (part[0].transpose(0, 1) for part in (query_BHTD, key_BHTD, value_BHTD))
    attended_THD = cast(
        Tensor,
        varlen_attn(
            query_THD,
            key_THD,
            value_THD,
            boundaries,
            boundaries,
            longest,
            longest,
            scale=scaling,
            window_size=(-1, 0),  # causal
            enable_gqa=True,
        ),
    )
    return attended_THD[None]


def _one_by_one(
    query_BHTD: Tensor, key_BHTD: Tensor, value_BHTD: Tensor, boundaries: Tensor, longest: int, scaling: float | None
) -> Tensor:
    lengths = boundaries.diff().tolist()
    parts = zip(*(torch.split(part, lengths, dim=2) for part in (query_BHTD, key_BHTD, value_BHTD)), strict=True)
    attended = [
        scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=True)
        for query, key, value in parts
    ]
    return torch.cat(attended, dim=2).transpose(1, 2)


def _masked(
    query_BHTD: Tensor, key_BHTD: Tensor, value_BHTD: Tensor, boundaries: Tensor, longest: int, scaling: float | None
) -> Tensor:
    token_T = torch.arange(query_BHTD.shape[2], device=boundaries.device)
    example_T = torch.searchsorted(boundaries, token_T, right=True)
    sees_TT = (example_T[:, None] == example_T) & (token_T[:, None] >= token_T)
    return scaled_dot_product_attention(
        query_BHTD, key_BHTD, value_BHTD, attn_mask=sees_TT, scale=scaling, enable_gqa=True
    ).transpose(1, 2)


def _has_varlen(query_BHTD: Tensor) -> bool:
    if query_BHTD.device.type != "cuda" or query_BHTD.dtype not in _HALF:
        return False
    return torch.cuda.get_device_capability(query_BHTD.device) >= _OLDEST_CAPABILITY
