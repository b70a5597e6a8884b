"""Fan-out: the shards of the examples are scored side by side."""

from kfp import dsl

from components.score import score
from pipelines.tasks import TaskSettings
from storm_core.curation.config import ScoreConfig


def score_shards_pipeline(settings: TaskSettings) -> dsl.base_component.BaseComponent:
    """The loop over the shards as a pipeline, to be a task of another."""

    @dsl.pipeline(name="score-shards")
    def score_shards(
        model: dsl.Input[dsl.Model],
        examples: dsl.Input[dsl.Dataset],
        shard_indices: list[int],
        rubrics: str = "",
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
    ) -> list[str]:
        """Score every shard by itself; returns the references of the verdicts."""
        # A pipeline of its own, because kfp.local loops over a pipeline's argument but not over a task's output.
        with dsl.ParallelFor(shard_indices) as shard:
            scored = score(
                model=model,
                examples=examples,
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
            )
            settings.apply(scored, "score")
        return dsl.Collected(scored.outputs["verdicts_reference"])

    return score_shards
