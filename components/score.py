"""Component `score`."""

from kfp import dsl

from components.command import storm
from components.images import TRAINING
from storm_core.curation.config import ScoreConfig


@dsl.container_component
def score(
    model: dsl.Input[dsl.Model],
    examples: dsl.Input[dsl.Dataset],
    verdicts: dsl.Output[dsl.Artifact],
    verdicts_reference: dsl.OutputPath(str),
    shard: int = ScoreConfig.shard,
    batch_size: int = ScoreConfig.batch_size,
    max_length: int = ScoreConfig.max_length,
    dtype: str = ScoreConfig.dtype,
    min_educational_value: float = ScoreConfig.min_educational_value,
) -> dsl.ContainerSpec:
    """Ask the judge for the educational value and the difficulty of each example of one shard."""
    return storm(
        "score",
        TRAINING,
        model=model.path,
        examples=examples.path,
        shard=shard,
        batch_size=batch_size,
        max_length=max_length,
        dtype=dtype,
        min_educational_value=min_educational_value,
        verdicts=verdicts.path,
        verdicts_reference=verdicts_reference,
    )
