"""Component `merge`."""

from kfp import dsl

from components.command import storm
from components.images import CORE
from storm_core.merging.config import MergeConfig


@dsl.container_component
def merge(
    base_model: dsl.Input[dsl.Model],
    other_model: dsl.Input[dsl.Model],
    merged_model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    t: float = MergeConfig.t,
) -> dsl.ContainerSpec:
    """Merge two models of the same shapes by SLERP, tensor by tensor."""
    return storm(
        "merge",
        CORE,
        base_model=base_model.path,
        other_model=other_model.path,
        t=t,
        merged_model=merged_model.path,
    )
