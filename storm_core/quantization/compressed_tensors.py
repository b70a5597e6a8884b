"""The `quantization_config` by which vLLM and transformers know a compressed-tensors checkpoint."""

from collections.abc import Sequence
from typing import Any


def fp8_dynamic_config(ignore: Sequence[str]) -> dict[str, Any]:
    """`quantization_config` of the FP8_DYNAMIC scheme, with the modules that keep their precision.

    Weights: 8-bit float, one static scale an output channel. Activations: 8-bit float, scaled per token while running.
    """
    return {
        "quant_method": "compressed-tensors",
        "format": "float-quantized",
        "quantization_status": "compressed",
        "ignore": list(ignore),
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "format": "float-quantized",
                "weights": _float8(strategy="channel", dynamic=False),
                "input_activations": _float8(strategy="token", dynamic=True),
            }
        },
    }


def _float8(*, strategy: str, dynamic: bool) -> dict[str, Any]:
    return {"num_bits": 8, "type": "float", "strategy": strategy, "symmetric": True, "dynamic": dynamic}
