"""The floating-point operations of a training step by arithmetic: what the maths asks for, none for frozen weights.

A multiplication and its addition are two. Counted are matrix products and attention, as torch's FlopCounterMode counts
them; norms, activations and the optimizer are less than a hundredth. Shapes: T tokens, O out, I in.
"""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from storm_core.checkpoints.shapes import EMBEDDING, HEAD, ModelShapes

# Dense bfloat16 of the SXM modules, from NVIDIA's data sheets (1,979 with sparsity), by the name that CUDA gives them.
PEAK_FLOPS_PER_SECOND: Mapping[str, float] = {"NVIDIA H100 80GB HBM3": 989.4e12, "NVIDIA H200": 989.4e12}


@dataclass(frozen=True, kw_only=True)
class StepFlops:
    """The operations of one step, in parts.

    Attributes:
        activation_gradients: of the backward pass on its way down.
        weight_gradients: of trained matrices alone.
        recomputation: of what the forward pass did and did not keep; no part of `executed`.
    """

    forward: int
    activation_gradients: int
    weight_gradients: int
    recomputation: int

    @property
    def executed(self) -> int:
        """Model FLOPs, over which MFU is taken: the same with and without recomputation."""
        return self.forward + self.activation_gradients + self.weight_gradients


def step_flops(
    shapes: ModelShapes,
    trained: Set[str],
    *,
    lengths: Sequence[int],
    head_tokens: int,
    is_causal: bool = True,
    recomputes_layers: bool = False,
) -> StepFlops:
    """The operations of a step on sequences of these lengths, packed or not: attention stays inside each.

    Args:
        shapes: of the model.
        trained: names of the parameters that are trained.
        lengths: tokens of each sequence, padding included where it is computed.
        head_tokens: positions that the head projects onto the vocabulary.
        is_causal: whether attention leaves out what lies ahead, as FlashAttention does; one that computes the whole
            square and masks it does not, and most published MFUs count the square.
        recomputes_layers: whether the backward pass computes each layer anew.
    """
    tokens = sum(lengths)
    down_to = _lowest_trained_layer(trained, shapes.layers)
    matrices = layer_matrices(shapes)
    pairs = attention_pairs(lengths, is_causal=is_causal)
    attention = 4 * pairs * shapes.heads * shapes.head_size
    layers = sum(2 * tokens * size for size in matrices.values()) + shapes.layers * attention
    head = 2 * head_tokens * shapes.vocabulary * shapes.hidden
    reached = [name for name in matrices if _layer_of(name) >= down_to]
    gradients = sum(2 * tokens * matrices[name] for name in reached) + (shapes.layers - down_to) * 2 * attention
    weights = sum(2 * tokens * size for name, size in matrices.items() if name in trained)
    # The recomputation of a layer ends before its last product, which the backward pass does not need.
    last_products = shapes.layers * 2 * tokens * shapes.intermediate * shapes.hidden
    head_is_trained = (EMBEDDING if shapes.is_tied else HEAD) in trained
    return StepFlops(
        forward=layers + head,
        activation_gradients=gradients + head,
        weight_gradients=weights + head_is_trained * head,
        recomputation=layers - last_products if recomputes_layers else 0,
    )


def attention_pairs(lengths: Sequence[int], *, is_causal: bool) -> int:
    """Pairs of a query and a key that sequences of these lengths multiply."""
    return sum(length * (length + 1) // 2 if is_causal else length * length for length in lengths)


def layer_matrices(shapes: ModelShapes) -> dict[str, int]:
    """Elements of every matrix inside the layers, by name."""
    named = shapes.parameters().items()
    return {name: math.prod(shape) for name, shape in named if _layer_of(name) >= 0 and len(shape) == 2}


def peak_flops_per_second(device: str) -> float | None:
    """What a device multiplies in bfloat16 at most, by its name or a node's label; None where it is not known here."""
    return PEAK_FLOPS_PER_SECOND.get(device.replace("-", " "))


def _lowest_trained_layer(trained: Set[str], layers: int) -> int:
    """Down to which layer gradients flow; all of that layer is counted, though its lowest matrix may need none."""
    if EMBEDDING in trained:
        return 0
    return min((_layer_of(name) for name in trained if _layer_of(name) >= 0), default=layers)


def _layer_of(name: str) -> int:
    parts = name.split(".")
    return int(parts[2]) if parts[1] == "layers" else -1
