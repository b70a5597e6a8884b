"""The `quantize` stage: its options, inputs and outputs."""

from dataclasses import dataclass

from storm_core.config import StageConfig, option
from storm_core.stage import Input, Output, Stage

SCHEMES = ("FP8_DYNAMIC",)


@dataclass(frozen=True, kw_only=True)
class QuantizeConfig(StageConfig):
    """Options of `quantize`."""

    scheme: str = option(
        "number format; FP8_DYNAMIC: 8-bit floating-point weights, one scale a row, activations scaled per token",
        "FP8_DYNAMIC",
        choices=SCHEMES,
    )
    ignore: tuple[str, ...] = option(
        "linear modules that keep their precision: full module names, or re: and a regular expression",
        ("lm_head",),
    )


QUANTIZE = Stage(
    verb="quantize",
    summary="Quantize a model's linear layers to FP8, for vLLM and transformers.",
    config=QuantizeConfig,
    inputs={"model": Input(kind="model", help="model to quantize")},
    outputs={"quantized_model": Output(kind="model", help="the model in the compressed-tensors format")},
    run="storm_core.quantization.stage:run",
)
