"""Component `quantize`."""

from kfp import dsl

from components.command import storm
from components.images import TRAINING
from storm_core.quantization.config import QuantizeConfig


@dsl.container_component
def quantize(
    model: dsl.Input[dsl.Model],
    quantized_model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    scheme: str = QuantizeConfig.scheme,
    ignore: list = list(QuantizeConfig.ignore),
) -> dsl.ContainerSpec:
    """Quantise a model's linear layers to FP8, for vLLM and transformers."""
    return storm(
        "quantize",
        TRAINING,
        model=model.path,
        scheme=scheme,
        ignore=ignore,
        quantized_model=quantized_model.path,
    )
