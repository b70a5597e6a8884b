"""Component `gate`."""

from kfp import dsl

from components.command import storm
from components.images import CORE
from storm_core.registry.config import GateConfig


@dsl.container_component
def gate(
    base_evaluation: dsl.Input[dsl.Artifact],
    sibling_evaluation: dsl.Input[dsl.Artifact],
    tuned_evaluation: dsl.Input[dsl.Artifact],
    merged_evaluation: dsl.Input[dsl.Artifact],
    quantized_evaluation: dsl.Input[dsl.Artifact],
    decision: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    standard_errors: float = GateConfig.standard_errors,
    quantized_tolerance: float = GateConfig.quantized_tolerance,
) -> dsl.ContainerSpec:
    """Decide by written rules whether the merged and quantized models may be promoted."""
    return storm(
        "gate",
        CORE,
        base_evaluation=base_evaluation.path,
        sibling_evaluation=sibling_evaluation.path,
        tuned_evaluation=tuned_evaluation.path,
        merged_evaluation=merged_evaluation.path,
        quantized_evaluation=quantized_evaluation.path,
        standard_errors=standard_errors,
        quantized_tolerance=quantized_tolerance,
        decision=decision.path,
    )
