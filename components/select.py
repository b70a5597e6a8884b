"""Component `select`."""

from kfp import dsl

from components.command import storm
from components.images import CORE
from storm_core.curation.config import SelectConfig


@dsl.container_component
def select(
    examples: dsl.Input[dsl.Dataset],
    verdicts: list[str],
    selection: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    min_educational_value: float = SelectConfig.min_educational_value,
    educational_value_by: str = SelectConfig.educational_value_by,
    difficulties: list = list(SelectConfig.difficulties),
    max_per_source: int = SelectConfig.max_per_source,
    source_caps: list = list(SelectConfig.source_caps),
    validation_fraction: float = SelectConfig.validation_fraction,
    seed: int = SelectConfig.seed,
) -> dsl.ContainerSpec:
    """Keep the examples that are informative and not too easy, and split them into train and validation."""
    return storm(
        "select",
        CORE,
        examples=examples.path,
        verdicts=verdicts,
        min_educational_value=min_educational_value,
        educational_value_by=educational_value_by,
        difficulties=difficulties,
        max_per_source=max_per_source,
        source_caps=source_caps,
        validation_fraction=validation_fraction,
        seed=seed,
        selection=selection.path,
    )
