"""SLERP of two weight tensors: the point at fraction `t` of the great circle from one direction to the other.

Shape suffix N: all weights of one tensor, flattened.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Above this |cosine| sin(angle) is too small to divide by; the arc is straight to 1 part in 4000. mergekit's threshold.
COLINEAR_COSINE = 0.9995
# Weights converted to float64 at a time: torch does up to 32768 on one thread, so that the sums do not depend on the
# number of threads, and a quarter of a megabyte stays in a core's cache.
CHUNK_WEIGHTS = 1 << 15


class UndefinedArcError(ValueError):
    """No unique arc joins the two tensors; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Arc:
    """How two tensors lie to each other.

    Attributes:
        cosine: of the angle between them as vectors, -1 to 1; None where either is all zeros and has no direction.
        identical: whether they hold the same numbers.
    """

    cosine: float | None
    identical: bool

    @property
    def angle_degrees(self) -> float | None:
        """The angle, 0 to 180 degrees; None where it is undefined."""
        return None if self.cosine is None else math.degrees(math.acos(self.cosine))

    @property
    def is_straight(self) -> bool:
        """Whether interpolation is linear: nearly colinear tensors, or one without a direction."""
        return self.cosine is None or self.cosine > COLINEAR_COSINE


def slerp(a: Tensor, b: Tensor, t: float, arc: Arc) -> Tensor:
    """Point at fraction `t` of the great circle from `a` (t = 0) to `b` (t = 1); same shape and dtype as `a`.

    `arc` is `measure_arc(a, b)`. The ends are returned bit for bit. Magnitudes are interpolated along with directions,
    since the weights are applied to the tensors as they are (Shoemake 1985, eq. for Slerp; mergekit does the same).

    Raises:
        UndefinedArcError: the tensors are opposite, and `t` is neither 0 nor 1.
    """
    if t == 0 or arc.identical:
        return a.clone()
    if t == 1:
        return b.to(a.dtype, copy=True)
    weight_a, weight_b = interpolation_weights(arc, t)
    return _combine(a, b, weight_a, weight_b)


def measure_arc(a: Tensor, b: Tensor) -> Arc:
    """The angle between `a` and `b`, which have the same shape, accumulated in float64.

    float32 sums misplace the cosine of large tensors by 1e-3, enough to cross `COLINEAR_COSINE`.

    Raises:
        UndefinedArcError: a tensor holds NaN or infinity.
    """
    dot = square_a = square_b = 0.0
    identical = True
    for part_a_N, part_b_N in _chunks(a, b):
        dot += (part_a_N * part_b_N).sum().item()
        square_a += (part_a_N * part_a_N).sum().item()
        square_b += (part_b_N * part_b_N).sum().item()
        identical = identical and torch.equal(part_a_N, part_b_N)
    if not (math.isfinite(square_a) and math.isfinite(square_b)):
        raise UndefinedArcError("NaN or infinity among the weights")
    if square_a == 0 or square_b == 0:
        return Arc(cosine=None, identical=identical)
    # Two square roots rather than one of the product, which could overflow or vanish.
    cosine = dot / math.sqrt(square_a) / math.sqrt(square_b)
    return Arc(cosine=min(1.0, max(-1.0, cosine)), identical=identical)


def interpolation_weights(arc: Arc, t: float) -> tuple[float, float]:
    """What the two tensors are multiplied by: sin((1-t)w)/sin(w) and sin(tw)/sin(w), or 1-t and t on a straight arc.

    Raises:
        UndefinedArcError: the tensors are opposite, so that every great circle through one meets the other.
    """
    if arc.cosine is None or arc.is_straight:
        return 1 - t, t
    if arc.cosine < -COLINEAR_COSINE:
        raise UndefinedArcError(f"they point in opposite directions (cosine {arc.cosine:.6f}), no one arc joins them")
    angle = math.acos(arc.cosine)
    return math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)


def _combine(a: Tensor, b: Tensor, weight_a: float, weight_b: float) -> Tensor:
    """weight_a * a + weight_b * b, computed in float64 and cast to the dtype of `a` once."""
    merged_N = torch.empty(a.numel(), dtype=a.dtype)
    for target_N, (part_a_N, part_b_N) in zip(torch.split(merged_N, CHUNK_WEIGHTS), _chunks(a, b), strict=True):
        target_N.copy_(part_a_N.mul_(weight_a).add_(part_b_N, alpha=weight_b))
    return merged_N.view(a.shape)


def _chunks(a: Tensor, b: Tensor) -> "zip[tuple[Tensor, Tensor]]":
    """Both tensors as float64, flattened and cut into pieces of `CHUNK_WEIGHTS`; each piece is the caller's own."""
    parts_a = (part.to(torch.float64, copy=True) for part in torch.split(a.flatten(), CHUNK_WEIGHTS))
    parts_b = (part.to(torch.float64, copy=True) for part in torch.split(b.flatten(), CHUNK_WEIGHTS))
    return zip(parts_a, parts_b, strict=True)
