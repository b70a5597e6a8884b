"""FP8 with one scale a row: weights as float8_e4m3fn, w ~ weight * weight_scale.

Shape suffixes: O output features (rows), I input features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

FP8_DTYPE = torch.float8_e4m3fn
# Largest number of e4m3fn: 1.75 * 2^8 (Micikevicius et al. 2022, "FP8 formats for deep learning").
FP8_MAXIMUM = torch.finfo(FP8_DTYPE).max
# Weights converted to float32 at a time: torch does up to 32768 on one thread, and they stay in a core's cache.
_BLOCK_WEIGHTS = 1 << 15


@dataclass(frozen=True, kw_only=True)
class QuantizedWeight:
    """A weight matrix in FP8: `weight` (O, I) in float8_e4m3fn, `scale` (O, 1) in the dtype the matrix had."""

    weight: Tensor
    scale: Tensor


def quantize_rows(weight_OI: Tensor) -> QuantizedWeight:
    """The matrix in FP8, each row scaled so that its largest magnitude becomes 448.

    Computed in float32. The scale is rounded to the dtype of the matrix first, as compressed-tensors stores it, and the
    row is divided by the rounded scale, so that its rounding adds no error. (llm-compressor stores the same scales, but
    rounds each quotient to bfloat16 before FP8: 3% of its weights land on the farther neighbour.)

    A row of zeros gets the scale that compressed-tensors gives it, the dtype's epsilon: 0 would divide by zero.

    Raises:
        ValueError: a weight is NaN or infinite.
    """
    blocks = [_quantize_block(block_OI) for block_OI in torch.split(weight_OI, _rows_per_block(weight_OI))]
    return QuantizedWeight(
        weight=torch.cat([block.weight for block in blocks]), scale=torch.cat([block.scale for block in blocks])
    )


def dequantize_rows(quantized: QuantizedWeight) -> Tensor:
    """The matrix that the FP8 one stands for, (O, I), in float32."""
    return quantized.weight.to(torch.float32) * quantized.scale.to(torch.float32)


def squared_sums(weight_OI: Tensor, quantized: QuantizedWeight) -> tuple[float, float]:
    """Sums of squares of the error that quantizing made and of the weights themselves, accumulated in float64."""
    rows = _rows_per_block(weight_OI)
    error = signal = 0.0
    blocks = zip(*(torch.split(part, rows) for part in (weight_OI, quantized.weight, quantized.scale)), strict=True)
    for block_OI, fp8_OI, scale_O1 in blocks:
        exact_OI = block_OI.to(torch.float32)
        difference_OI = dequantize_rows(QuantizedWeight(weight=fp8_OI, scale=scale_O1)) - exact_OI
        error += difference_OI.square().sum(dtype=torch.float64).item()
        signal += exact_OI.square().sum(dtype=torch.float64).item()
    return error, signal


def _quantize_block(weight_OI: Tensor) -> QuantizedWeight:
    exact_OI = weight_OI.to(torch.float32)
    largest_O1 = exact_OI.abs().amax(dim=1, keepdim=True)
    if not torch.isfinite(largest_O1).all():
        raise ValueError("NaN or infinity among the weights")
    limits = torch.finfo(weight_OI.dtype)
    # Below its smallest normal number float16 is coarse enough to clip the row or to lose it.
    rounded_O1 = (largest_O1 / FP8_MAXIMUM).to(weight_OI.dtype).clamp_min(limits.tiny)
    scale_O1 = torch.where(largest_O1 == 0, limits.eps, rounded_O1)
    # A scale that was rounded down leaves quotients above 448; the format has no infinity, past 464 comes NaN.
    scaled_OI = (exact_OI / scale_O1.to(torch.float32)).clamp_(-FP8_MAXIMUM, FP8_MAXIMUM)
    return QuantizedWeight(weight=scaled_OI.to(FP8_DTYPE), scale=scale_O1)


def _rows_per_block(weight_OI: Tensor) -> int:
    return max(1, _BLOCK_WEIGHTS // weight_OI.shape[1])
