import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from storm_core.merging.slerp import (
    CHUNK_WEIGHTS,
    COLINEAR_COSINE,
    Arc,
    UndefinedArcError,
    interpolation_weights,
    measure_arc,
    slerp,
)

fractions = st.floats(0, 1)
inner_fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 10_000)
lengths = st.integers(2, 200)
dtypes = st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16])


def random_pair(seed: int, length: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, length, generator=generator, dtype=torch.float64)
    return a.to(dtype), b.to(dtype)


def point(a: Tensor, b: Tensor, t: float) -> Tensor:
    return slerp(a, b, t, measure_arc(a, b))


def cosine_of(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a.flatten(), b.flatten()) / (a.norm() * b.norm()))


def textbook_slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """The formula as mergekit applies it, on whole tensors in float64."""
    cosine = cosine_of(a, b)
    if abs(cosine) > COLINEAR_COSINE:
        return (1 - t) * a + t * b
    angle = math.acos(cosine)
    return (math.sin((1 - t) * angle) * a + math.sin(t * angle) * b) / math.sin(angle)


@given(seeds, lengths, dtypes)
def test_slerp_at_zero_returns_first_tensor_bit_for_bit(seed: int, length: int, dtype: torch.dtype) -> None:
    a, b = random_pair(seed, length, dtype)
    assert torch.equal(point(a, b, 0.0), a)


@given(seeds, lengths, dtypes)
def test_slerp_at_one_returns_second_tensor_bit_for_bit(seed: int, length: int, dtype: torch.dtype) -> None:
    a, b = random_pair(seed, length, dtype)
    assert torch.equal(point(a, b, 1.0), b)


@given(seeds, lengths, fractions)
def test_swapping_the_models_and_the_fraction_changes_nothing(seed: int, length: int, t: float) -> None:
    a, b = random_pair(seed, length)
    assume(abs(cosine_of(a, b)) < COLINEAR_COSINE)
    torch.testing.assert_close(point(a, b, t), point(b, a, 1 - t), rtol=1e-9, atol=1e-9)


@given(seeds, st.integers(3, 200), fractions)
def test_equal_norms_are_kept_along_the_arc(seed: int, length: int, t: float) -> None:
    a, b = random_pair(seed, length)
    a, b = 3 * a / a.norm(), 3 * b / b.norm()
    assume(abs(cosine_of(a, b)) < COLINEAR_COSINE)
    assert point(a, b, t).norm().item() == pytest.approx(3, rel=1e-9)


@given(seeds, st.integers(3, 200), fractions)
def test_the_angle_from_the_first_tensor_grows_in_proportion_to_the_fraction(seed: int, length: int, t: float) -> None:
    a, b = random_pair(seed, length)
    a, b = a / a.norm(), b / b.norm()
    assume(abs(cosine_of(a, b)) < 0.99)
    # The chord of the arc walked so far: exact also for small angles, where a cosine is not.
    chord = (point(a, b, t) - a).norm().item()
    assert chord == pytest.approx(2 * math.sin(t * math.acos(cosine_of(a, b)) / 2), abs=1e-9)


@given(seeds, lengths, fractions)
def test_agrees_with_the_formula_on_whole_tensors(seed: int, length: int, t: float) -> None:
    a, b = random_pair(seed, length)
    assume(cosine_of(a, b) > -COLINEAR_COSINE)
    assume(abs(abs(cosine_of(a, b)) - COLINEAR_COSINE) > 1e-9)
    torch.testing.assert_close(point(a, b, t), textbook_slerp(a, b, t), rtol=1e-6, atol=1e-9)


@given(seeds, lengths, fractions, st.floats(0.01, 100))
def test_colinear_tensors_are_interpolated_linearly(seed: int, length: int, t: float, factor: float) -> None:
    a, _ = random_pair(seed, length)
    torch.testing.assert_close(point(a, factor * a, t), (1 - t + t * factor) * a, rtol=1e-9, atol=1e-12)


@given(seeds, lengths, inner_fractions, st.floats(0.01, 100))
def test_opposite_tensors_are_refused_between_the_ends(seed: int, length: int, t: float, factor: float) -> None:
    a, _ = random_pair(seed, length)
    with pytest.raises(UndefinedArcError, match="opposite directions"):
        point(a, -factor * a, t)


def test_opposite_tensors_are_allowed_at_the_ends() -> None:
    a = torch.tensor([1.0, 2.0])
    assert torch.equal(point(a, -a, 0.0), a)
    assert torch.equal(point(a, -a, 1.0), -a)


@given(seeds, lengths, fractions, dtypes)
def test_identical_tensors_come_back_bit_for_bit(seed: int, length: int, t: float, dtype: torch.dtype) -> None:
    a, _ = random_pair(seed, length, dtype)
    assert torch.equal(point(a, a.clone(), t), a)


@given(seeds, lengths, fractions)
def test_a_tensor_of_zeros_has_no_direction_and_is_met_on_a_straight_line(seed: int, length: int, t: float) -> None:
    a, _ = random_pair(seed, length)
    zeros = torch.zeros_like(a)
    assert measure_arc(a, zeros) == Arc(cosine=None, identical=False)
    torch.testing.assert_close(point(a, zeros, t), (1 - t) * a)
    torch.testing.assert_close(point(zeros, a, t), t * a)
    assert torch.equal(point(zeros, zeros.clone(), t), zeros)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("t", [0.0, 0.5, 1.0])
def test_nan_and_infinity_are_refused(value: float, t: float) -> None:
    broken = torch.tensor([1.0, value])
    for pair in ((broken, torch.ones(2)), (torch.ones(2), broken), (broken, broken.clone())):
        with pytest.raises(UndefinedArcError, match="NaN or infinity"):
            point(*pair, t)


def test_interpolation_is_continuous_where_the_arc_is_taken_for_straight() -> None:
    on_the_arc = interpolation_weights(Arc(cosine=COLINEAR_COSINE, identical=False), 0.3)
    straight = interpolation_weights(Arc(cosine=math.nextafter(COLINEAR_COSINE, 1), identical=False), 0.3)
    assert straight == (0.7, 0.3)
    assert on_the_arc == pytest.approx(straight, rel=2e-4)
    assert on_the_arc != straight


@given(dtypes, dtypes)
def test_shape_and_dtype_are_those_of_the_first_tensor(first: torch.dtype, second: torch.dtype) -> None:
    a, b = random_pair(0, 12, first)[0].view(3, 4), random_pair(0, 12, second)[1].view(3, 4)
    for t in (0.0, 0.5, 1.0):
        merged = point(a, b, t)
        assert (merged.shape, merged.dtype) == (a.shape, a.dtype)


def test_halves_are_rounded_once_from_the_exact_result() -> None:
    a, b = random_pair(5, 3 * CHUNK_WEIGHTS + 17, torch.bfloat16)
    assert torch.equal(point(a, b, 0.3), textbook_slerp(a.double(), b.double(), 0.3).to(torch.bfloat16))


def test_large_tensors_are_measured_across_chunks() -> None:
    a, b = random_pair(6, 2 * CHUNK_WEIGHTS + 5)
    cosine = measure_arc(a, b).cosine
    assert cosine == pytest.approx(cosine_of(a, b), abs=1e-12)
    changed = a.clone()
    changed[-1] += 1
    assert measure_arc(a, a.clone()).identical
    assert not measure_arc(a, changed).identical


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    a, b = random_pair(8, 30 * CHUNK_WEIGHTS)
    threads = torch.get_num_threads()
    try:
        cosines = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            cosines.append(measure_arc(a, b).cosine)
    finally:
        torch.set_num_threads(threads)
    assert len(set(cosines)) == 1


def test_inputs_are_left_as_they_were() -> None:
    a, b = random_pair(7, 64)
    kept_a, kept_b = a.clone(), b.clone()
    for t in (0.0, 0.5, 1.0):
        point(a, b, t).zero_()
    assert torch.equal(a, kept_a)
    assert torch.equal(b, kept_b)
