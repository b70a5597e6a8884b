"""Component `fetch`."""

from kfp import dsl

from components.command import storm
from components.images import TRAINING
from storm_core.sources.config import FetchConfig


@dsl.container_component
def fetch(
    source: str,
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    dtype: str = FetchConfig.dtype,
) -> dsl.ContainerSpec:
    """Turn a model directory or a GGUF file into a checkpoint that every stage reads."""
    return storm(
        "fetch",
        TRAINING,
        source=source,
        dtype=dtype,
        model=model.path,
    )
