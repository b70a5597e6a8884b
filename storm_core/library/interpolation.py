"""`slerp`: two tensors merged as `merge` merges each tensor of two models."""

from torch import Tensor

from storm_core.errors import InputError
from storm_core.merging.config import MergeConfig
from storm_core.merging.slerp import UndefinedArcError, measure_arc
from storm_core.merging.slerp import slerp as slerp_on_arc


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Point at fraction `t` of the great circle from `a` (t = 0) to `b` (t = 1); shape, dtype and device of `a`.

    Computed in float64 and cast once; without gradient. Nearly colinear tensors are interpolated linearly.

    Raises:
        InputError: the shapes differ, a tensor is not of floating-point numbers or holds NaN or infinity, `t` is not
            from 0 to 1, or the tensors point in opposite directions, which no one arc joins.
    """
    if a.shape != b.shape:
        raise InputError(f"slerp is of two tensors of one shape, got {list(a.shape)} and {list(b.shape)}")
    for tensor in (a, b):
        if not tensor.is_floating_point():
            raise InputError(f"slerp is of floating-point tensors, got {tensor.dtype}")
    MergeConfig(t=t)  # the bounds of t
    start, end = a.detach(), b.detach().to(a.device)
    try:
        return slerp_on_arc(start, end, t, measure_arc(start, end)).to(a.device)
    except UndefinedArcError as error:
        raise InputError(f"slerp is not defined for these tensors: {error}") from error
