"""Where and in what precision a model computes."""

import torch


def resolve_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def resolve_dtype(name: str) -> torch.dtype:
    """The dtype to compute in. `auto`: bfloat16 where the hardware multiplies it, float32 elsewhere.

    A CPU without bfloat16 instructions emulates them, several times slower than float32.
    """
    if name == "auto":
        fast = torch.cuda.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return torch.bfloat16 if fast else torch.float32
    return {"bfloat16": torch.bfloat16, "float32": torch.float32}[name]
