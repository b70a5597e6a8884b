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
    metrics: dsl.Output[dsl.Metrics],
    verdicts_reference: dsl.OutputPath(str),
    rubrics: str = "",
    shard: int = ScoreConfig.shard,
    engine: str = ScoreConfig.engine,
    batch_size: int = ScoreConfig.batch_size,
    max_length: int = ScoreConfig.max_length,
    dtype: str = ScoreConfig.dtype,
    min_educational_value: float = ScoreConfig.min_educational_value,
    keep_seconds: float = ScoreConfig.keep_seconds,
    endpoint: str = ScoreConfig.endpoint,
    endpoint_model: str = ScoreConfig.endpoint_model,
    endpoint_prompts: str = ScoreConfig.endpoint_prompts,
    endpoint_concurrency: int = ScoreConfig.endpoint_concurrency,
    endpoint_requests_per_minute: int = ScoreConfig.endpoint_requests_per_minute,
    endpoint_timeout_seconds: float = ScoreConfig.endpoint_timeout_seconds,
    endpoint_retries: int = ScoreConfig.endpoint_retries,
) -> dsl.ContainerSpec:
    """Ask the judge for the educational value and the difficulty of each example of one shard."""
    return storm(
        "score",
        TRAINING,
        model=model.path,
        examples=examples.path,
        rubrics=rubrics,
        shard=shard,
        engine=engine,
        batch_size=batch_size,
        max_length=max_length,
        dtype=dtype,
        min_educational_value=min_educational_value,
        keep_seconds=keep_seconds,
        endpoint=endpoint,
        endpoint_model=endpoint_model,
        endpoint_prompts=endpoint_prompts,
        endpoint_concurrency=endpoint_concurrency,
        endpoint_requests_per_minute=endpoint_requests_per_minute,
        endpoint_timeout_seconds=endpoint_timeout_seconds,
        endpoint_retries=endpoint_retries,
        verdicts=verdicts.path,
        verdicts_reference=verdicts_reference,
    )
