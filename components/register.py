"""Component `register`."""

from kfp import dsl

from components.command import storm
from components.images import CORE
from storm_core.registry.config import RegisterConfig


@dsl.container_component
def register(
    merged_model: dsl.Input[dsl.Model],
    quantized_model: dsl.Input[dsl.Model],
    merged_evaluation: dsl.Input[dsl.Artifact],
    quantized_evaluation: dsl.Input[dsl.Artifact],
    decision: dsl.Input[dsl.Artifact],
    registration: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    registered_model_name: str = RegisterConfig.registered_model_name,
) -> dsl.ContainerSpec:
    """Register the merged and quantized models in MLflow, by digest, and set their aliases."""
    return storm(
        "register",
        CORE,
        merged_model=merged_model.path,
        quantized_model=quantized_model.path,
        merged_evaluation=merged_evaluation.path,
        quantized_evaluation=quantized_evaluation.path,
        decision=decision.path,
        registered_model_name=registered_model_name,
        registration=registration.path,
    )
