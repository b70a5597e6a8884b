"""What training holds in memory, by arithmetic, part by part; beside it stands what was measured on a CPU.

Trained weights are in float32, with a gradient and AdamW's two moments. Frozen matrices are in the dtype computed in.
Shapes: H hidden, I intermediate, Q heads times head size, K key-value heads times head size.
"""

import math
from collections.abc import Set
from dataclasses import dataclass, fields

from storm_core.checkpoints.shapes import ModelShapes
from storm_core.finetuning.model_flops import EMBEDDING, layer_matrices

GRADIENT_BYTES, MOMENTS_BYTES, FLOAT32_BYTES, BFLOAT16_BYTES = 4, 8, 4, 2
# Bytes that autograd keeps of a layer for each token and each of H, I, Q and K, counted with saved_tensors_hooks on
# transformers' Llama with SDPA: of a layer that is frozen, and what it keeps more where it is trained.
_FROZEN_LAYER = {True: (8, 6, 4, 4), False: (8, 12, 8, 8)}
_TRAINED_LAYER = {True: (18, 2, 0, 0), False: (16, 4, 0, 0)}
# Logits, their logarithms and a gradient in float32; in bfloat16 logits and their gradient besides.
_LOGIT_BYTES = {True: 16, False: 12}


@dataclass(frozen=True, kw_only=True)
class TrainingMemory:
    """Bytes by part. They are not all held at once, but what is freed goes back to the machine late or never.

    Attributes:
        casts: copies of trained matrices in bfloat16, which autocast keeps through a step.
        activations: what the backward pass needs of the layers.
        logits: positions that the head projects onto the vocabulary, where all are held at once.
        transients: a gradient on its way, of the largest trained tensor.
    """

    weights: int
    gradients: int
    moments: int
    casts: int
    activations: int
    logits: int
    transients: int

    @property
    def total(self) -> int:
        """All parts."""
        return sum(getattr(self, part.name) for part in fields(self))


def training_memory(
    shapes: ModelShapes,
    trained: Set[str],
    *,
    batch_tokens: int,
    head_positions: int,
    in_bfloat16: bool,
    recomputes_layers: bool,
) -> TrainingMemory:
    """What a training of these parameters holds on one device.

    Args:
        shapes: of the model, stored in bfloat16.
        trained: names of the parameters that are trained.
        batch_tokens: tokens that the device takes at once, padding included.
        head_positions: those of them that become logits at once.
        in_bfloat16: whether autocast computes in bfloat16, else in float32.
        recomputes_layers: whether the backward pass computes each layer anew.
    """
    sizes = {name: math.prod(shape) for name, shape in shapes.parameters().items()}
    trained_count = sum(sizes[name] for name in trained)
    matrices = layer_matrices(shapes)
    frozen = sum(size for name, size in matrices.items() if name not in trained) if in_bfloat16 else 0
    cast = [name for name in trained if in_bfloat16 and len(shapes.parameters()[name]) == 2]
    if not shapes.is_tied and EMBEDDING in cast:
        cast.remove(EMBEDDING)  # It is looked up and never multiplied.
    return TrainingMemory(
        weights=FLOAT32_BYTES * (sum(sizes.values()) - frozen) + BFLOAT16_BYTES * frozen,
        gradients=GRADIENT_BYTES * trained_count,
        moments=MOMENTS_BYTES * trained_count,
        casts=BFLOAT16_BYTES * sum(sizes[name] for name in cast),
        activations=_activations(shapes, trained, batch_tokens, in_bfloat16, recomputes_layers),
        logits=_LOGIT_BYTES[in_bfloat16] * head_positions * shapes.vocabulary,
        transients=(FLOAT32_BYTES + BFLOAT16_BYTES * in_bfloat16) * max((sizes[name] for name in trained), default=0),
    )


def checkpoint_bytes(trained_count: int) -> int:
    """A training checkpoint: the trained weights in float32 and their moments."""
    return (FLOAT32_BYTES + MOMENTS_BYTES) * trained_count


def loading_bytes(parameters: int) -> int:
    """What loading a checkpoint in bfloat16 as float32 holds: the weights, and the pages of the file."""
    return (FLOAT32_BYTES + BFLOAT16_BYTES) * parameters


def _activations(
    shapes: ModelShapes, trained: Set[str], tokens: int, in_bfloat16: bool, recomputes_layers: bool
) -> int:
    matrices = layer_matrices(shapes)
    share = sum(name in trained for name in matrices) / len(matrices)
    widths = (
        shapes.hidden,
        shapes.intermediate,
        shapes.heads * shapes.head_size,
        shapes.key_value_heads * shapes.head_size,
    )
    frozen, more = _FROZEN_LAYER[in_bfloat16], _TRAINED_LAYER[in_bfloat16]
    layer = sum((least + share * extra) * width for least, extra, width in zip(frozen, more, widths, strict=True))
    if recomputes_layers:
        # The stream into each layer, in float32, and one layer's own.
        return round(tokens * (shapes.layers * FLOAT32_BYTES * shapes.hidden + layer))
    return round(tokens * shapes.layers * layer)
