"""Component `evaluate`."""

from kfp import dsl

from components.command import storm
from components.images import TRAINING
from storm_core.evaluation.config import EvaluateConfig


@dsl.container_component
def evaluate(
    model: dsl.Input[dsl.Model],
    data: str,
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    suite: str = EvaluateConfig.suite,
    dtype: str = EvaluateConfig.dtype,
) -> dsl.ContainerSpec:
    """Measure a model on a suite of benchmarks: function calling by BFCL's rules, and lm-eval tasks."""
    return storm(
        "evaluate",
        TRAINING,
        model=model.path,
        data=data,
        suite=suite,
        dtype=dtype,
        evaluation=evaluation.path,
    )
