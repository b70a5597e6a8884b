"""The layers of a model compiled by `torch.compile`, each by itself.

One graph serves all layers that train the same of their weights, and batches of any size.
"""

import os
import shutil
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from storm_core.devices import resolve_device
from storm_core.errors import InputError, first_line
from storm_core.finetuning.answer_loss import AnswerLoss
from storm_core.finetuning.batches import BatchTensors
from storm_core.finetuning.sharding import layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Of layers that train the same: for one row and for several, for one token and for several.
_GRAPHS = 4
# What inductor has C++ compiled with, or for a GPU Triton C, and the variable that names another.
_COMPILERS = {"cpu": ("CXX", ("g++",)), "cuda": ("CC", ("gcc", "clang"))}


class CompiledLoss(AnswerLoss):
    """An `AnswerLoss` whose model's layers become graphs where a batch first asks for them.

    FSDP's hooks stay outside of the graphs; activation checkpointing is inside.
    """

    def __init__(self, model: "PreTrainedModel", autocast: torch.dtype | None) -> None:
        """As of `AnswerLoss`; FSDP cuts the layers afterwards."""
        super().__init__(model, autocast)
        # Graphs of a model before this one would count too.
        torch.compiler.reset()
        compiled = layers(model)
        self._most_graphs = _GRAPHS * len(compiled)
        for layer in compiled:
            # What cannot be one graph, or would be one too many, is an error: without these it runs uncompiled, unsaid.
            layer.compile(fullgraph=True, dynamic=True, recompile_limit=self._most_graphs)

    def forward(self, batch: BatchTensors) -> Tensor:
        """As of `AnswerLoss`; without gradients it is computed without graphs, which would be other ones.

        Raises:
            InputError: a layer cannot be compiled.
        """
        if not torch.is_grad_enabled():
            with torch.compiler.set_stance("force_eager"):
                return super().forward(batch)
        return self._compiled(batch)

    def _compiled(self, batch: BatchTensors) -> Tensor:
        import torch._dynamo as dynamo

        # DDP would have graphs cut where it exchanges gradients, which are exchanged between layers here.
        settings = dynamo.config.patch(accumulated_recompile_limit=self._most_graphs, optimize_ddp=False)
        try:
            with settings:
                return super().forward(batch)
        except (dynamo.exc.TorchDynamoException, dynamo.exc.FailOnRecompileLimitHit) as error:
            raise InputError(
                f"the model's layers cannot be compiled: {first_line(error)}; set compile=false"
            ) from error


def check_compiler() -> None:
    """Make sure that there is a compiler of C++, or on a GPU of C.

    Raises:
        InputError: there is none.
    """
    variable, names = _COMPILERS[resolve_device().type]
    named = os.environ.get(variable)
    if not any(shutil.which(name) for name in ((named,) if named else names)):
        raise InputError(
            f"compile needs {' or '.join(names)}, or a compiler that {variable} names, and finds none; "
            "install one, or set compile=false"
        )
