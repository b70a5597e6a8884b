"""Component `audit`."""

from kfp import dsl

from components.command import storm
from components.images import TRAINING
from storm_core.curation.config import AuditConfig


@dsl.container_component
def audit(
    model: dsl.Input[dsl.Model],
    examples: dsl.Input[dsl.Dataset],
    verdicts: list[str],
    audit: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    rubrics: str = "",
    engine: str = AuditConfig.engine,
    batch_size: int = AuditConfig.batch_size,
    max_length: int = AuditConfig.max_length,
    dtype: str = AuditConfig.dtype,
    endpoint: str = AuditConfig.endpoint,
    endpoint_model: str = AuditConfig.endpoint_model,
    endpoint_prompts: str = AuditConfig.endpoint_prompts,
    endpoint_concurrency: int = AuditConfig.endpoint_concurrency,
    endpoint_requests_per_minute: int = AuditConfig.endpoint_requests_per_minute,
    endpoint_timeout_seconds: float = AuditConfig.endpoint_timeout_seconds,
    endpoint_retries: int = AuditConfig.endpoint_retries,
    min_educational_value: float = AuditConfig.min_educational_value,
    probe_examples: int = AuditConfig.probe_examples,
    examples_per_label: int = AuditConfig.examples_per_label,
    shown_characters: int = AuditConfig.shown_characters,
    seed: int = AuditConfig.seed,
) -> dsl.ContainerSpec:
    """Report whether the judge can be trusted: its answers, and how it answers when asked otherwise."""
    return storm(
        "audit",
        TRAINING,
        model=model.path,
        examples=examples.path,
        verdicts=verdicts,
        rubrics=rubrics,
        engine=engine,
        batch_size=batch_size,
        max_length=max_length,
        dtype=dtype,
        endpoint=endpoint,
        endpoint_model=endpoint_model,
        endpoint_prompts=endpoint_prompts,
        endpoint_concurrency=endpoint_concurrency,
        endpoint_requests_per_minute=endpoint_requests_per_minute,
        endpoint_timeout_seconds=endpoint_timeout_seconds,
        endpoint_retries=endpoint_retries,
        min_educational_value=min_educational_value,
        probe_examples=probe_examples,
        examples_per_label=examples_per_label,
        shown_characters=shown_characters,
        seed=seed,
        audit=audit.path,
    )
