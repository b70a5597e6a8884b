"""The signal-to-noise ratio against its definition on a plain singular value decomposition."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from storm_core.spectrum.snr import signal_to_noise_ratio, singular_values

SEEDS = st.integers(0, 2**32 - 1)
SIDES = st.integers(2, 40)


def random_matrix(rows: int, columns: int, seed: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def definition(weight: Tensor) -> float:
    """The ratio as the paper's script defines it, from a decomposition of the whole matrix."""
    sigma = torch.linalg.svdvals(weight.double())
    spread = float(torch.quantile(sigma, 0.75) - torch.quantile(sigma, 0.25)) / 1.349
    threshold = spread * math.sqrt((1 + math.sqrt(min(weight.shape) / max(weight.shape))) ** 2)
    noise = float(sigma[sigma <= threshold].sum())
    return float(sigma[sigma > threshold].sum()) / noise / float(sigma[0]) if noise else math.inf


def signal_matrix(rows: int, columns: int, seed: int) -> Tensor:
    """Noise with a strong direction: singular values on both sides of the threshold, none close to it."""
    left, right = random_matrix(rows, 1, seed), random_matrix(1, columns, seed + 1)
    return 0.1 * random_matrix(rows, columns, seed + 2) + 5 * left @ right


@settings(deadline=None)
@given(SIDES, SIDES, SEEDS)
def test_singular_values_equal_those_of_a_decomposition(rows: int, columns: int, seed: int) -> None:
    weight = random_matrix(rows, columns, seed)
    expected = torch.linalg.svdvals(weight).flip(0)
    torch.testing.assert_close(singular_values(weight), expected, rtol=1e-7, atol=1e-6 * float(expected[-1]))


@settings(deadline=None)
@given(SIDES, SIDES, SEEDS)
def test_ratio_equals_the_definition_on_random_matrices_of_any_shape(rows: int, columns: int, seed: int) -> None:
    weight = random_matrix(rows, columns, seed)
    assert signal_to_noise_ratio(weight) == pytest.approx(definition(weight), rel=1e-6)


@settings(deadline=None)
@given(SIDES, SIDES, st.integers(0, 2**30))
def test_transposing_does_not_change_the_ratio(rows: int, columns: int, seed: int) -> None:
    weight = signal_matrix(rows, columns, seed)
    assert signal_to_noise_ratio(weight.T) == pytest.approx(signal_to_noise_ratio(weight), rel=1e-6)


@settings(deadline=None)
@given(SIDES, SIDES, st.integers(0, 2**30), st.floats(1e-30, 1e30))
def test_scaling_the_matrix_divides_the_ratio(rows: int, columns: int, seed: int, scale: float) -> None:
    weight = signal_matrix(rows, columns, seed)
    assert signal_to_noise_ratio(scale * weight) * scale == pytest.approx(signal_to_noise_ratio(weight), rel=1e-6)


@pytest.mark.parametrize("shape", [(64, 64), (48, 96), (96, 48)])
def test_signal_above_noise_is_found_as_the_definition_finds_it(shape: tuple[int, int]) -> None:
    weight = signal_matrix(*shape, seed=3).to(torch.bfloat16)
    assert math.isfinite(definition(weight))
    assert signal_to_noise_ratio(weight) == pytest.approx(definition(weight), rel=1e-9)


def test_more_signal_gives_a_higher_ratio_at_equal_norm() -> None:
    noise = random_matrix(64, 128, 0)
    signal = signal_matrix(64, 128, 0)
    assert signal_to_noise_ratio(signal / signal.norm()) > signal_to_noise_ratio(noise / noise.norm())


@settings(deadline=None)
@given(st.integers(16, 40), st.integers(16, 40), st.floats(0.3, 0.7), SEEDS)
def test_low_rank_with_rank_in_the_middle_equals_the_definition_up_to_rounding(
    rows: int, columns: int, share: float, seed: int
) -> None:
    rank = max(1, int(share * min(rows, columns)))
    weight = random_matrix(rows, rank, seed) @ random_matrix(rank, columns, seed + 1)
    expected = definition(weight)
    if math.isfinite(expected) and expected < 1e6:
        assert signal_to_noise_ratio(weight) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_rank_below_a_quarter_has_no_noise_and_an_infinite_ratio(rank: int) -> None:
    weight = random_matrix(32, rank, 0) @ random_matrix(rank, 48, 1)
    assert signal_to_noise_ratio(weight) == math.inf


def test_equal_singular_values_have_no_noise_and_an_infinite_ratio() -> None:
    assert signal_to_noise_ratio(torch.eye(16)) == math.inf


def test_zero_matrix_has_no_signal_and_ratio_zero() -> None:
    assert signal_to_noise_ratio(torch.zeros(8, 12)) == 0.0


def test_single_number_has_an_infinite_ratio() -> None:
    assert signal_to_noise_ratio(torch.tensor([[3.0]])) == math.inf


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_weight_that_is_not_finite_is_refused(bad: float) -> None:
    weight = torch.ones(4, 4)
    weight[1, 2] = bad
    with pytest.raises(ValueError, match="NaN or infinite"):
        signal_to_noise_ratio(weight)


def test_vector_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        signal_to_noise_ratio(torch.ones(4))
