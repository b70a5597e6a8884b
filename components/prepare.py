"""Component `prepare`."""

from kfp import dsl

from components.command import storm
from components.images import TRAINING
from storm_core.sources.config import PrepareConfig


@dsl.container_component
def prepare(
    data: str,
    examples: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    shard_indices: dsl.OutputPath(list[int]),
    sources: list,
    held_out: list = list(PrepareConfig.held_out),
    held_out_suites: list = list(PrepareConfig.held_out_suites),
    contamination_words: int = PrepareConfig.contamination_words,
    drop_near_duplicates: bool = PrepareConfig.drop_near_duplicates,
    near_duplicate_threshold: float = PrepareConfig.near_duplicate_threshold,
    near_duplicate_shingle_words: int = PrepareConfig.near_duplicate_shingle_words,
    near_duplicate_permutations: int = PrepareConfig.near_duplicate_permutations,
    max_rejected_fraction: float = PrepareConfig.max_rejected_fraction,
    max_characters: int = PrepareConfig.max_characters,
    max_examples_per_source: int = PrepareConfig.max_examples_per_source,
    shards: int = PrepareConfig.shards,
    seed: int = PrepareConfig.seed,
) -> dsl.ContainerSpec:
    """Turn data sources into examples without near duplicates or evaluation text, in shards."""
    return storm(
        "prepare",
        # The evaluations' own data is read with their own harness, to hold it out.
        TRAINING,
        data=data,
        sources=sources,
        held_out=held_out,
        held_out_suites=held_out_suites,
        contamination_words=contamination_words,
        drop_near_duplicates=drop_near_duplicates,
        near_duplicate_threshold=near_duplicate_threshold,
        near_duplicate_shingle_words=near_duplicate_shingle_words,
        near_duplicate_permutations=near_duplicate_permutations,
        max_rejected_fraction=max_rejected_fraction,
        max_characters=max_characters,
        max_examples_per_source=max_examples_per_source,
        shards=shards,
        seed=seed,
        examples=examples.path,
        shard_indices=shard_indices,
    )
