"""Rotary positions as a GGUF file says them: in its description, and in tensors of factors."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from storm_core.errors import InputError

# Llama 3.1's own, the only ones published; the factor and the length are read off the tensor.
_LOW, _HIGH = 1.0, 4.0
_LENGTHS = tuple(1 << power for power in range(8, 21))
_TOLERANCE = 1e-3


def rotary_of(
    name: str, described: Mapping[str, Any], tensors: Mapping[str, Sequence[float]], theta: float, turned: int
) -> dict[str, Any]:
    """`rope_parameters` of the model; `tensors` are those of factors, `turned` the places of a head that turn.

    `described` are the settings below `rope.`.

    Raises:
        InputError: a scaling that is not known here; `name` is the file's.
    """
    kind = described.get("scaling.type") or "none"
    basis: dict[str, Any] = {"rope_theta": theta}
    if "rope_freqs.weight" in tensors:
        return {**basis, **_llama3(name, tensors["rope_freqs.weight"], theta, turned)}
    if "rope_factors_long.weight" in tensors:
        factors = {f"{length}_factor": list(tensors[f"rope_factors_{length}.weight"]) for length in ("short", "long")}
        return {**basis, "rope_type": "longrope", **factors}
    if kind == "none":
        return {**basis, "rope_type": "default"}
    if kind not in ("linear", "yarn"):
        raise InputError(f"{name} scales its rotary positions by {kind!r}, which is not converted")
    found = {**basis, "rope_type": kind, "factor": float(described["scaling.factor"])}
    if kind == "yarn":
        found["original_max_position_embeddings"] = int(described["scaling.original_context_length"])
    return found


def check_attention_factor(name: str, described: Mapping[str, Any], rope_type: str, longest: int) -> None:
    """Check that `scaling.attn_factor`, where it is said, is what the scaling brings by itself.

    That is 1, as llama.cpp multiplies YaRN's own by it, and for LongRoPE the factor that transformers computes (Ding et
    al., 2024, section 3.3). `longest` are the tokens of the model's context.

    Raises:
        InputError: it is another.
    """
    expected = 1.0
    if rope_type == "longrope":
        original = int(described["scaling.original_context_length"])
        expected = math.sqrt(1 + math.log(max(1.0, longest / original)) / math.log(original))
    said = float(described.get("scaling.attn_factor", expected))
    if not math.isclose(said, expected, rel_tol=_TOLERANCE):
        raise InputError(f"{name} says rope.scaling.attn_factor {said:g}, and {expected:g} is what is understood here")


def _llama3(name: str, factors: Sequence[float], theta: float, turned: int) -> dict[str, Any]:
    factor = float(round(max(factors), 3))
    for length in _LENGTHS:
        expected = llama3_factors(factor, length, theta, turned)
        if len(expected) == len(factors) and all(
            math.isclose(one, other, rel_tol=_TOLERANCE) for one, other in zip(expected, factors, strict=True)
        ):
            return {
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": _LOW,
                "high_freq_factor": _HIGH,
                "original_max_position_embeddings": length,
            }
    raise InputError(f"{name} has rotary factors in rope_freqs.weight that are not of Llama 3.1's scaling")


def llama3_factors(factor: float, length: int, theta: float, turned: int) -> list[float]:
    """What Llama 3.1 divides each rotary frequency by: 1 of high ones, `factor` of low ones."""
    factors = []
    for place in range(0, turned, 2):
        turns = length / (2 * math.pi * theta ** (place / turned))
        share = min(1.0, max(0.0, (turns - _LOW) / (_HIGH - _LOW)))
        factors.append(1 / ((1 - share) / factor + share))
    return factors
