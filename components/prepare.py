"""Component `prepare`."""

from kfp import dsl

from components.command import storm
from components.images import CORE
from storm_core.sources.config import PrepareConfig


@dsl.container_component
def prepare(
    data: str,
    examples: dsl.Output[dsl.Dataset],
    shard_indices: dsl.OutputPath(list),
    sources: list,
    held_out: list = list(PrepareConfig.held_out),
    max_rejected_fraction: float = PrepareConfig.max_rejected_fraction,
    max_characters: int = PrepareConfig.max_characters,
    max_examples_per_source: int = PrepareConfig.max_examples_per_source,
    shards: int = PrepareConfig.shards,
    seed: int = PrepareConfig.seed,
) -> dsl.ContainerSpec:
    """Turn data sources into examples without duplicates or evaluation questions, in shards."""
    return storm(
        "prepare",
        CORE,
        data=data,
        sources=sources,
        held_out=held_out,
        max_rejected_fraction=max_rejected_fraction,
        max_characters=max_characters,
        max_examples_per_source=max_examples_per_source,
        shards=shards,
        seed=seed,
        examples=examples.path,
        shard_indices=shard_indices,
    )
