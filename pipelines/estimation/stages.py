"""What each stage takes of a node, by arithmetic from the model's shapes.

Bytes of a model are those of bfloat16, in which the recipe's models are stored. What the stages took in the demo stands
in `pipelines/profiles/laptop-kind.yaml`; what the smaller ones take here is scaled from there by the largest tensor.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipelines.estimation.assumptions import Estimated
from pipelines.estimation.speed import scoring_hours, training_hours
from pipelines.estimation.training import host_of_training, memory_of_training
from storm_core.finetuning.memory import BFLOAT16_BYTES, checkpoint_bytes, loading_bytes

# Python with the libraries of a stage: with torch and transformers, and without.
_WITH_TORCH, _WITHOUT = 550_000_000, 300_000_000
# What evaluating holds besides the weights: lm-eval's libraries and questions, and a batch of replies.
_EVALUATING = 2_100_000_000
# What CUDA takes of host and device.
CUDA_HOST, CUDA_DEVICE = 3_000_000_000, 600_000_000
_SHARD = 2 << 30
NOT_KNOWN = None


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Bytes and hours of a task; None is not known.

    Attributes:
        device: memory of each GPU; 0 where the profile gives none.
        host: memory of the task; of a training on nodes, of each node.
        disk: of `/tmp` and the cache in it.
        checkpoint: of one partial result that a kill leaves.
        gpu_hours: of all tasks of the verb; 0 where the profile gives no GPU.
    """

    device: int | None = 0
    host: int | None
    disk: int | None = 0
    checkpoint: int = 0
    gpu_hours: float | None = 0.0


def needs_of(verb: str, run: Estimated) -> Needs:
    """What one task of the verb takes, and all of them of GPU-hours."""
    return _NEEDS[verb](run)


def _model(run: Estimated) -> int:
    return BFLOAT16_BYTES * run.count


def _streaming(run: Estimated, bytes_of_largest: int, models: float) -> Needs:
    """A stage that holds one shard, and its largest tensor in several forms."""
    host = _WITHOUT + min(_model(run), _SHARD) + bytes_of_largest * run.largest
    return Needs(host=host, disk=round(models * _model(run)))


def _fetch(run: Estimated) -> Needs:
    if str(run.values["base_model"]).endswith(".gguf"):
        # Dequantized as a whole, in float32 and then in bfloat16.
        return Needs(host=_WITH_TORCH + loading_bytes(run.count), disk=2 * _model(run))
    return _streaming(run, 4, models=2)


def _merge(run: Estimated) -> Needs:
    return _streaming(run, 10, models=3)


def _quantize(run: Estimated) -> Needs:
    return _streaming(run, 12, models=1.5)


def _prepare(run: Estimated) -> Needs:
    """1.2 kB a row (docs/benchmarks.md)."""
    rows = run.assumptions.rows
    return Needs(host=NOT_KNOWN if rows is None else _WITHOUT + 1200 * rows, disk=NOT_KNOWN)


def _select(run: Estimated) -> Needs:
    """1.7 kB a row (docs/benchmarks.md)."""
    rows = run.assumptions.rows
    return Needs(host=NOT_KNOWN if rows is None else _WITHOUT + 1700 * rows, disk=NOT_KNOWN)


def _score(run: Estimated) -> Needs:
    return _judging(run, "score", scoring_hours(run))


def _audit(run: Estimated) -> Needs:
    return _judging(run, "audit", NOT_KNOWN)


def _judging(run: Estimated, verb: str, gpu_hours: float | None) -> Needs:
    """Weights, and what a batch of the longest examples has: keys and values, and the widths of one layer."""
    shapes = run.shapes
    keys_and_values = 2 * shapes.layers * shapes.key_value_heads * shapes.head_size
    widths = 3 * shapes.intermediate + 8 * shapes.hidden
    tokens = run.values["score_batch_size"] * run.values["score_max_length"]
    held = _model(run) + BFLOAT16_BYTES * tokens * (keys_and_values + widths)
    if run.has_gpu(verb):
        return Needs(device=CUDA_DEVICE + held, host=CUDA_HOST + _model(run), disk=_model(run), gpu_hours=gpu_hours)
    # The pages of the file that the weights are read from count too.
    return Needs(host=_WITH_TORCH + held + _model(run), disk=_model(run))


def _evaluate(run: Estimated) -> Needs:
    """How many tokens the GPU reads at once is a matter of the suite, so its memory is the weights' alone."""
    if run.has_gpu("evaluate"):
        host = CUDA_HOST + _model(run) + _EVALUATING
        return Needs(device=CUDA_DEVICE + _model(run), host=host, disk=_model(run), gpu_hours=NOT_KNOWN)
    return Needs(host=_EVALUATING + _model(run), disk=_model(run))


def _scan(run: Estimated) -> Needs:
    """Four copies of a layer's largest matrix in float64."""
    inside = max(size for name, size in run.parameters.items() if ".layers." in name)
    return Needs(host=_WITH_TORCH + 4 * 8 * inside, disk=_model(run))


def _train(run: Estimated) -> Needs:
    checkpoint = checkpoint_bytes(run.trained_count)
    held = memory_of_training(run).total
    return Needs(
        device=CUDA_DEVICE + held if run.has_gpu("train") else 0,
        host=host_of_training(run, libraries_of_training(run), _WITHOUT),
        # The model given and the model made, a checkpoint and the one before it.
        disk=2 * _model(run) + 2 * checkpoint,
        checkpoint=checkpoint,
        gpu_hours=training_hours(run) if run.has_gpu("train") else 0.0,
    )


def libraries_of_training(run: Estimated) -> int:
    """What a process of `train` holds of libraries and, with a GPU, of CUDA."""
    return CUDA_HOST if run.has_gpu("train") else _WITH_TORCH


def _tables(run: Estimated) -> Needs:
    """Reads tables of results."""
    return Needs(host=_WITHOUT)


_NEEDS: Mapping[str, Callable[[Estimated], Needs]] = {
    "fetch": _fetch,
    "prepare": _prepare,
    "score": _score,
    "select": _select,
    "audit": _audit,
    "scan": _scan,
    "train": _train,
    "merge": _merge,
    "quantize": _quantize,
    "evaluate": _evaluate,
    "gate": _tables,
    "register": _tables,
    "report": _tables,
}
