"""`storm.slerp` is the interpolation of `merge`, for tensors at hand."""

import pytest
import torch

import storm_core as storm
from storm_core.merging.slerp import measure_arc
from storm_core.merging.slerp import slerp as slerp_on_arc


def test_it_is_the_interpolation_that_merge_uses() -> None:
    a, b = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(storm.slerp(a, b, 0.3), slerp_on_arc(a, b, 0.3, measure_arc(a, b)))


def test_half_way_between_two_axes() -> None:
    halfway = storm.slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 0.5)
    assert halfway.tolist() == pytest.approx([2**-0.5, 2**-0.5])


def test_parameters_give_a_tensor_of_their_dtype_without_gradient() -> None:
    layer = torch.nn.Linear(3, 2, dtype=torch.bfloat16)
    merged = storm.slerp(layer.weight, torch.ones(2, 3), 0.5)
    assert (merged.dtype, merged.shape, merged.requires_grad) == (torch.bfloat16, (2, 3), False)


@pytest.mark.parametrize(
    ("a", "b", "t", "said"),
    [
        (torch.ones(2), torch.ones(3), 0.5, r"one shape, got \[2\] and \[3\]"),
        (torch.ones(2), torch.ones(2), 1.5, "t must be from 0.0 to 1.0, got 1.5"),
        (torch.ones(2), torch.ones(2, dtype=torch.int64), 0.5, r"floating-point tensors, got torch\.int64"),
        (torch.ones(2), -torch.ones(2), 0.5, "opposite directions"),
        (torch.ones(2), torch.tensor([1.0, torch.nan]), 0.5, "NaN or infinity"),
    ],
)
def test_what_has_no_point_between_is_refused(a: torch.Tensor, b: torch.Tensor, t: float, said: str) -> None:
    with pytest.raises(storm.InputError, match=said):
        storm.slerp(a, b, t)
