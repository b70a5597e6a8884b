"""The stage `fetch`: its options, inputs and outputs."""

from dataclasses import dataclass

from storm_core.config import StageConfig, option
from storm_core.stage import Input, Output, Stage


@dataclass(frozen=True, kw_only=True)
class FetchConfig(StageConfig):
    """Options of `storm fetch`."""

    dtype: str = option(
        "precision to store the dequantized tensors of a GGUF file in; a model directory keeps its own",
        "bfloat16",
        choices=("bfloat16", "float32"),
    )


FETCH = Stage(
    verb="fetch",
    summary="Turn a model directory or a GGUF file into a checkpoint that every stage reads.",
    config=FetchConfig,
    inputs={
        "source": Input(
            kind="model", help="model directory in the Hugging Face layout, or one .gguf file", external=True
        )
    },
    outputs={"model": Output(kind="model", help="checkpoint: safetensors, config, tokenizer with chat template")},
    run="storm_core.checkpoints.stage:run",
)
