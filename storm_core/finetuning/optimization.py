"""AdamW and its learning rate."""

import math
from collections.abc import Iterable

from torch import nn
from torch.optim import AdamW

from storm_core.finetuning.config import TrainConfig


def make_optimizer(parameters: Iterable[nn.Parameter], config: TrainConfig) -> AdamW:
    """AdamW, fused, of the parameters that require gradients; norms and biases, which are vectors, do not decay."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [one for one in trained if one.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [one for one in trained if one.ndim <= 1], "weight_decay": 0.0},
    ]
    return AdamW([group for group in groups if group["params"]], lr=config.learning_rate, fused=True)


def learning_rate(done: int, updates: int, config: TrainConfig) -> float:
    """The rate of the update after `done` others, of `updates` in all: it rises in the warm-up and falls afterwards."""
    warmup = math.ceil(updates * config.warmup_ratio)
    if done < warmup:
        return config.learning_rate * (done / warmup)
    left = (updates - done) / max(1, updates - warmup)
    passed = (done - warmup) / max(1, updates - warmup)
    shares = {"cosine": max(0.0, 0.5 * (1.0 + math.cos(math.pi * passed))), "linear": max(0.0, left), "constant": 1.0}
    return config.learning_rate * shares[config.learning_rate_schedule]
