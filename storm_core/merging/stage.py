"""`merge`: SLERP of two checkpoints, streamed tensor by tensor."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor

from storm_core.checkpoints.checkpoint import Checkpoint, open_checkpoint, write_checkpoint
from storm_core.checkpoints.stop_tokens import add_stop_tokens, read_stop_tokens
from storm_core.errors import InputError
from storm_core.machine_errors import check_room
from storm_core.merging.compatibility import check_mergeable
from storm_core.merging.config import MergeConfig
from storm_core.merging.slerp import Arc, UndefinedArcError, measure_arc, slerp
from storm_core.progress import progress
from storm_core.stage import Inputs, Results


def run(config: MergeConfig, inputs: Inputs, outputs: Mapping[str, Path]) -> Results:
    """Write the merged checkpoint, with the tokenizer, chat template and config of `base_model`.

    It stops at the tokens at which either model stops.

    Raises:
        OSError: there is no room for it.
        InputError: the checkpoints do not fit each other, or a tensor of theirs cannot be merged.
    """
    base = open_checkpoint(inputs["base_model"].path)
    other = open_checkpoint(inputs["other_model"].path)
    check_mergeable(base, other)
    check_room(outputs["merged_model"], base.bytes, "the merged model")
    arcs: list[Arc] = []
    write_checkpoint(outputs["merged_model"], _merge(base, other, config.t, arcs), source=base.path)
    # Its weights lie between those of both, and so do the ends of its answers.
    add_stop_tokens(outputs["merged_model"], read_stop_tokens(other.path))
    return Results(metrics=_metrics(arcs))


def _merge(base: Checkpoint, other: Checkpoint, t: float, arcs: list[Arc]) -> Iterator[tuple[str, Tensor]]:
    """Each merged tensor by name, in the file order of `base`; appends its arc to `arcs`."""
    for name in progress(base.tensors, total=len(base.tensors), description="merge", unit="tensors"):
        a, b = base.load(name), other.load(name)
        try:
            arc = measure_arc(a, b)
            merged = slerp(a, b, t, arc)
        except UndefinedArcError as error:
            raise InputError(f"cannot merge tensor {name!r} of {base.path} and {other.path}: {error}") from error
        arcs.append(arc)
        yield name, merged


def _metrics(arcs: list[Arc]) -> dict[str, float]:
    """How many tensors took which path, and the angles between the parents over all tensors that have a direction."""
    angles = [arc.angle_degrees for arc in arcs if arc.angle_degrees is not None]
    identical = sum(arc.identical for arc in arcs)
    linear = sum(arc.is_straight and not arc.identical for arc in arcs)
    return {
        "tensors": len(arcs),
        "tensors_identical": identical,
        "tensors_linear": linear,
        "tensors_spherical": len(arcs) - identical - linear,
        "mean_angle_degrees": sum(angles) / len(angles) if angles else 0.0,
        "max_angle_degrees": max(angles, default=0.0),
    }
