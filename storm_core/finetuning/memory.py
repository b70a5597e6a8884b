"""What training holds in memory, by arithmetic, part by part; beside it stands what was measured on a CPU.

Trained weights are in float32, with a gradient and AdamW's two moments. Frozen matrices are in the dtype computed in.
Shapes: H hidden, I intermediate, Q heads times head size, K key-value heads times head size.
"""

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, fields

from storm_core.checkpoints.shapes import EMBEDDING, ModelShapes
from storm_core.finetuning.config import CHECKPOINT_FILE_BYTES
from storm_core.finetuning.model_flops import layer_matrices

GRADIENT_BYTES, MOMENTS_BYTES, FLOAT32_BYTES, BFLOAT16_BYTES = 4, 8, 4, 2
# Bytes that autograd keeps of a layer for each token and each of H, I, Q and K, counted with saved_tensors_hooks on
# transformers' Llama with SDPA: of a layer that is frozen, and what it keeps more where it is trained.
_FROZEN_LAYER = {True: (8, 6, 4, 4), False: (8, 12, 8, 8)}
_TRAINED_LAYER = {True: (18, 2, 0, 0), False: (16, 4, 0, 0)}
# In shares what flows between the layers is bfloat16 too, and is kept once for all matrices that take it.
_TRAINED_LAYER_OF_SHARES = {True: (4, 2, 0, 0), False: _TRAINED_LAYER[False]}
# Logits, their logarithms and a gradient in float32; in bfloat16 logits and their gradient besides.
_LOGIT_BYTES = {True: 16, False: 12}


@dataclass(frozen=True, kw_only=True)
class TrainingMemory:
    """Bytes by part. They are not all held at once, but what is freed goes back to the machine late or never.

    Attributes:
        copies: trained matrices in bfloat16, which autocast keeps through a step; of shares, what is put together.
        activations: what the backward pass needs of the layers.
        logits: positions that the head projects onto the vocabulary, where all are held at once.
        transients: a gradient on its way: of the largest trained tensor; of shares, of a layer or what is in none.
    """

    weights: int
    gradients: int
    moments: int
    copies: int
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
    shares: int = 1,
) -> TrainingMemory:
    """What a training of these parameters holds in one process: on its device, or on a CPU.

    Args:
        shapes: of the model, stored in bfloat16.
        trained: names of the parameters that are trained.
        batch_tokens: tokens that the device takes at once, padding included.
        head_positions: those of them that become logits at once.
        in_bfloat16: whether autocast computes in bfloat16, else in float32.
        recomputes_layers: whether the backward pass computes each layer anew.
        shares: over how many processes each weight is spread; 1 where each has a copy.
    """
    sizes = {name: math.prod(shape) for name, shape in shapes.parameters().items()}
    trained_count = sum(sizes[name] for name in trained)
    frozen = sum(size for name, size in layer_matrices(shapes).items() if name not in trained) if in_bfloat16 else 0
    weights = FLOAT32_BYTES * (sum(sizes.values()) - frozen) + BFLOAT16_BYTES * frozen
    in_shares = shares > 1
    copies, transients = (_of_shares if in_shares else _of_a_copy)(shapes, sizes, trained, in_bfloat16)
    return TrainingMemory(
        weights=math.ceil(weights / shares),
        gradients=math.ceil(GRADIENT_BYTES * trained_count / shares),
        moments=math.ceil(MOMENTS_BYTES * trained_count / shares),
        copies=copies,
        activations=_activations(shapes, trained, batch_tokens, in_bfloat16, recomputes_layers, in_shares),
        logits=_LOGIT_BYTES[in_bfloat16] * head_positions * shapes.vocabulary,
        transients=transients,
    )


def _of_a_copy(shapes: ModelShapes, sizes: Mapping[str, int], trained: Set[str], in_bfloat16: bool) -> tuple[int, int]:
    """Copies and transients of a process that holds the whole model."""
    cast = [name for name in trained if in_bfloat16 and len(shapes.parameters()[name]) == 2]
    if not shapes.is_tied and EMBEDDING in cast:
        cast.remove(EMBEDDING)  # It is looked up and never multiplied.
    largest = max((sizes[name] for name in trained), default=0)
    return BFLOAT16_BYTES * sum(sizes[name] for name in cast), (FLOAT32_BYTES + BFLOAT16_BYTES * in_bfloat16) * largest


def _of_shares(shapes: ModelShapes, sizes: Mapping[str, int], trained: Set[str], in_bfloat16: bool) -> tuple[int, int]:
    """Copies and transients where weights are put together a layer at a time, by FSDP2.

    What is in no layer, the embedding above all, stays together through a step with its gradient. A layer is there
    while it computes, and the next one is on its way, as it comes and in its place. Gradients are in the dtype computed
    in, and in float32 once more to be added up.
    """
    element = BFLOAT16_BYTES if in_bfloat16 else FLOAT32_BYTES
    of_layers = {name: size for name, size in sizes.items() if ".layers." in name}
    layer = sum(of_layers.values()) // shapes.layers
    trained_of_layer = sum(size for name, size in of_layers.items() if name in trained) // shapes.layers
    rest = sum(sizes.values()) - sum(of_layers.values())
    trained_of_rest = sum(sizes[name] for name in trained if name not in of_layers)
    gradients = element * (trained_of_rest + trained_of_layer) + FLOAT32_BYTES * max(trained_of_rest, trained_of_layer)
    return element * (rest + 3 * layer), gradients


def checkpoint_bytes(trained_count: int) -> int:
    """A training checkpoint: the trained weights in float32 and their moments."""
    return (FLOAT32_BYTES + MOMENTS_BYTES) * trained_count


def checkpoint_writing_bytes(trained_count: int, shares: int = 1) -> int:
    """What a process holds of host memory while a checkpoint is written: a copy of its share, and one file of it."""
    own = math.ceil(checkpoint_bytes(trained_count) / shares)
    return own + min(own, CHECKPOINT_FILE_BYTES)


def loading_bytes(parameters: int) -> int:
    """What loading so many elements in bfloat16 as float32 holds: the weights, and the pages of the file."""
    return (FLOAT32_BYTES + BFLOAT16_BYTES) * parameters


def _activations(
    shapes: ModelShapes, trained: Set[str], tokens: int, in_bfloat16: bool, recomputes_layers: bool, in_shares: bool
) -> int:
    matrices = layer_matrices(shapes)
    share = sum(name in trained for name in matrices) / len(matrices)
    widths = (
        shapes.hidden,
        shapes.intermediate,
        shapes.heads * shapes.head_size,
        shapes.key_value_heads * shapes.head_size,
    )
    frozen = _FROZEN_LAYER[in_bfloat16]
    more = (_TRAINED_LAYER_OF_SHARES if in_shares else _TRAINED_LAYER)[in_bfloat16]
    layer = sum((least + share * extra) * width for least, extra, width in zip(frozen, more, widths, strict=True))
    if recomputes_layers:
        # The stream into each layer, and one layer's own.
        stream = BFLOAT16_BYTES if in_bfloat16 and in_shares else FLOAT32_BYTES
        return round(tokens * (shapes.layers * stream * shapes.hidden + layer))
    return round(tokens * shapes.layers * layer)
