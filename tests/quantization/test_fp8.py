import math

import pytest
import torch
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import quantize
from compressed_tensors.quantization.utils import calculate_qparams
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from storm_core.quantization.fp8 import FP8_DTYPE, FP8_MAXIMUM, dequantize_rows, quantize_rows, squared_sums

seeds = st.integers(0, 10_000)
sizes = st.integers(1, 40)
dtypes = st.sampled_from([torch.float32, torch.float16, torch.bfloat16])
magnitudes = st.sampled_from([1e-3, 0.02, 1.0, 300.0])
CHANNEL = QuantizationArgs(num_bits=8, type="float", strategy="channel", symmetric=True, dynamic=False)
# Half a unit in the last place: e4m3fn has three bits after the leading one.
HALF_UNIT = 2.0**-4
SMALLEST_NORMAL = 2.0**-6


def random_matrix(seed: int, rows: int, columns: int, dtype: torch.dtype, magnitude: float = 0.02) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (magnitude * torch.randn(rows, columns, generator=generator)).to(dtype)


@given(seeds, sizes, sizes, dtypes, magnitudes)
def test_every_weight_is_within_half_a_unit_of_the_original(
    seed: int, rows: int, columns: int, dtype: torch.dtype, magnitude: float
) -> None:
    weight = random_matrix(seed, rows, columns, dtype, magnitude)
    quantized = quantize_rows(weight)
    scale = quantized.scale.double()
    # Below the smallest normal number the spacing is constant. A scale rounded down clips the largest weight by up to
    # the scale's own half unit, which is smaller than FP8's.
    allowed = HALF_UNIT * torch.maximum(weight.double().abs(), SMALLEST_NORMAL * scale)
    assert ((dequantize_rows(quantized).double() - weight.double()).abs() <= allowed * (1 + 1e-6)).all()


@given(seeds, sizes, sizes, st.sampled_from([torch.float32, torch.bfloat16]))
def test_the_scale_maps_the_largest_weight_of_a_row_to_the_largest_number(
    seed: int, rows: int, columns: int, dtype: torch.dtype
) -> None:
    weight = random_matrix(seed, rows, columns, dtype, 1.0)
    quantized = quantize_rows(weight)
    assert quantized.weight.dtype == FP8_DTYPE
    assert quantized.scale.dtype == dtype
    assert quantized.scale.shape == (rows, 1)
    assert torch.equal(quantized.scale, (weight.float().abs().amax(1, keepdim=True) / FP8_MAXIMUM).to(dtype))
    assert (quantized.weight.float().abs().amax(1) == FP8_MAXIMUM).all()


@given(seeds, sizes, sizes)
def test_float32_weights_are_quantized_as_compressed_tensors_does_it(seed: int, rows: int, columns: int) -> None:
    weight = random_matrix(seed, rows, columns, torch.float32)
    scale, zero_point = calculate_qparams(weight.amin(1, keepdim=True), weight.amax(1, keepdim=True), CHANNEL)
    theirs = quantize(weight, scale, zero_point, CHANNEL, dtype=FP8_DTYPE)
    ours = quantize_rows(weight)
    assert torch.equal(ours.scale, scale)
    assert torch.equal(ours.weight.view(torch.uint8), theirs.view(torch.uint8))


@given(seeds)
def test_bfloat16_weights_get_the_same_scales_and_no_greater_error_than_from_compressed_tensors(seed: int) -> None:
    weight = random_matrix(seed, 16, 256, torch.bfloat16)
    scale, zero_point = calculate_qparams(weight.amin(1, keepdim=True), weight.amax(1, keepdim=True), CHANNEL)
    theirs = quantize(weight, scale, zero_point, CHANNEL, dtype=FP8_DTYPE).float() * scale.float()
    ours = quantize_rows(weight)
    assert torch.equal(ours.scale, scale)
    exact = weight.float()
    assert ((dequantize_rows(ours) - exact).abs() <= (theirs - exact).abs()).all()


@given(seeds, sizes, sizes)
def test_quantizing_again_what_was_dequantized_changes_nothing(seed: int, rows: int, columns: int) -> None:
    once = quantize_rows(random_matrix(seed, rows, columns, torch.float32))
    again = quantize_rows(dequantize_rows(once))
    torch.testing.assert_close(dequantize_rows(again), dequantize_rows(once), rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_row_of_zeros_stays_zero_with_the_scale_that_compressed_tensors_gives_it(dtype: torch.dtype) -> None:
    weight = torch.ones(3, 4, dtype=dtype)
    weight[1] = 0
    quantized = quantize_rows(weight)
    theirs, _ = calculate_qparams(weight.amin(1, keepdim=True), weight.amax(1, keepdim=True), CHANNEL)
    assert torch.equal(quantized.scale, theirs)
    assert (quantized.scale > 0).all()
    assert torch.equal(dequantize_rows(quantized)[1], torch.zeros(4))


@given(st.floats(1e-7, 0.1))
def test_small_float16_rows_keep_their_weights_where_the_scale_would_underflow(largest: float) -> None:
    weight = (largest * torch.tensor([[1.0, -0.5, 0.25, 0.0]])).to(torch.float16)
    quantized = quantize_rows(weight)
    scale = quantized.scale.float()
    assert scale.item() >= torch.finfo(torch.float16).tiny
    allowed = HALF_UNIT * torch.maximum(weight.float().abs(), SMALLEST_NORMAL * scale)
    assert ((dequantize_rows(quantized) - weight.float()).abs() <= allowed * (1 + 1e-6)).all()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_refused(value: float) -> None:
    weight = torch.ones(1000, 64, dtype=torch.bfloat16)
    weight[-1, -1] = value
    with pytest.raises(ValueError, match="NaN or infinity"):
        quantize_rows(weight)


@pytest.mark.parametrize("shape", [(1000, 64), (3, 40_000), (1, 1), (513, 64)])
def test_blocks_of_rows_do_not_show(shape: tuple[int, int]) -> None:
    weight = random_matrix(1, *shape, torch.bfloat16)
    whole = quantize_rows(weight)
    rows = [quantize_rows(row) for row in weight.split(1)]
    assert torch.equal(whole.weight.view(torch.uint8), torch.cat([row.weight for row in rows]).view(torch.uint8))
    assert torch.equal(whole.scale, torch.cat([row.scale for row in rows]))
    error, signal = squared_sums(weight, whole)
    difference = dequantize_rows(whole).double() - weight.double()
    assert error == pytest.approx(difference.square().sum().item(), rel=1e-5)
    assert signal == pytest.approx(weight.double().square().sum().item(), rel=1e-6)
