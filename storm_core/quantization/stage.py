"""`quantize`: a checkpoint's linear layers in FP8, streamed tensor by tensor."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from storm_core.checkpoints.checkpoint import Checkpoint, open_checkpoint, write_checkpoint
from storm_core.checkpoints.finite import finite
from storm_core.checkpoints.turn_ends import write_turn_ends
from storm_core.errors import InputError
from storm_core.machine_errors import check_room
from storm_core.progress import progress
from storm_core.quantization.compressed_tensors import fp8_dynamic_config
from storm_core.quantization.config import QuantizeConfig
from storm_core.quantization.fp8 import QuantizedWeight, quantize_rows, squared_sums
from storm_core.quantization.linears import modules_to_quantize
from storm_core.stage import Inputs, Results


@dataclass(kw_only=True)
class _Tally:
    """What has been written so far; `error` and `signal` are sums of squares over the quantized weights."""

    quantized_tensors: int = 0
    kept_tensors: int = 0
    source_bytes: int = 0
    written_bytes: int = 0
    error: float = 0.0
    signal: float = 0.0


def run(config: QuantizeConfig, inputs: Inputs, outputs: Mapping[str, Path]) -> Results:
    """Write the checkpoint with FP8 linear layers and the `quantization_config` that says so.

    Raises:
        OSError: there is no room for it.
        InputError: the model is quantized already, `ignore` does not fit it, or a weight is NaN or infinite.
    """
    checkpoint = open_checkpoint(inputs["model"].path)
    modules = _check_quantizable(checkpoint, config.ignore)
    check_room(outputs["quantized_model"], _bytes(checkpoint, modules), "the quantized model")
    tally = _Tally()
    write_checkpoint(
        outputs["quantized_model"],
        _quantize(checkpoint, modules, tally),
        source=checkpoint.path,
        config_changes={"quantization_config": fp8_dynamic_config(config.ignore)},
    )
    write_turn_ends(outputs["quantized_model"])
    return Results(metrics=_metrics(tally))


def _check_quantizable(checkpoint: Checkpoint, ignore: Sequence[str]) -> list[str]:
    """The modules to quantize."""
    if "quantization_config" in checkpoint.config:
        raise InputError(f"{checkpoint.path} is quantized already; give the model it was made from")
    return modules_to_quantize(checkpoint, ignore)


def _bytes(checkpoint: Checkpoint, modules: Sequence[str]) -> int:
    """What the quantized model takes at least: a byte a quantized weight, and the other tensors as they are."""
    quantized = [checkpoint.tensors[f"{name}.weight"] for name in modules]
    return checkpoint.bytes - sum(info.bytes - math.prod(info.shape) for info in quantized)


def _quantize(checkpoint: Checkpoint, modules: Sequence[str], tally: _Tally) -> Iterator[tuple[str, Tensor]]:
    """Every tensor to write by name, in file order; a quantized weight is followed by its scale."""
    weights = {f"{name}.weight" for name in modules}
    for name in progress(checkpoint.tensors, total=len(checkpoint.tensors), description="quantize", unit="tensors"):
        tensor = finite(checkpoint.load(name), name, checkpoint.path)
        tally.source_bytes += tensor.nbytes
        if name not in weights:
            tally.kept_tensors += 1
            tally.written_bytes += tensor.nbytes
            yield name, tensor
            continue
        quantized = quantize_rows(tensor)
        _count(tally, tensor, quantized)
        yield name, quantized.weight
        yield f"{name}_scale", quantized.scale


def _count(tally: _Tally, weight_OI: Tensor, quantized: QuantizedWeight) -> None:
    tally.quantized_tensors += 1
    tally.written_bytes += quantized.weight.nbytes + quantized.scale.nbytes
    error, signal = squared_sums(weight_OI, quantized)
    tally.error += error
    tally.signal += signal


def _metrics(tally: _Tally) -> dict[str, float]:
    """Counts, sizes in bytes, and the root-mean-square error of the quantized weights relative to their own size."""
    return {
        "quantized_tensors": tally.quantized_tensors,
        "kept_tensors": tally.kept_tensors,
        "source_bytes": tally.source_bytes,
        "written_bytes": tally.written_bytes,
        "relative_error": math.sqrt(tally.error / tally.signal) if tally.signal else 0.0,
    }
