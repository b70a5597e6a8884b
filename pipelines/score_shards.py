"""Fan-out: the shards of the examples are scored side by side."""

from kfp import dsl

from components.score import score
from pipelines.tasks import named
from storm_core.curation.config import ScoreConfig


@dsl.pipeline(name="score-shards")
def score_shards(
    model: dsl.Input[dsl.Model],
    examples: dsl.Input[dsl.Dataset],
    shard_indices: list,
    batch_size: int = ScoreConfig.batch_size,
    max_length: int = ScoreConfig.max_length,
    dtype: str = ScoreConfig.dtype,
    min_educational_value: float = ScoreConfig.min_educational_value,
) -> list[str]:
    """Score every shard by itself; returns the references of the verdicts."""
    # A pipeline of its own, because kfp.local loops over a pipeline's argument but not over a task's output.
    with dsl.ParallelFor(shard_indices) as shard:
        scored = score(
            model=model,
            examples=examples,
            shard=shard,
            batch_size=batch_size,
            max_length=max_length,
            dtype=dtype,
            min_educational_value=min_educational_value,
        )
        named(scored, "score")
    return dsl.Collected(scored.outputs["verdicts_reference"])
