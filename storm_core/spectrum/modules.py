"""The modules of a checkpoint: which tensors are weights, their type and their layer."""

import re
from dataclasses import dataclass

from storm_core.checkpoints.checkpoint import Checkpoint
from storm_core.errors import InputError

_WEIGHT = ".weight"
_LAYER = re.compile(r"(?:^|\.)(\d+)\.")


@dataclass(frozen=True, kw_only=True)
class Module:
    """A module with a weight.

    Attributes:
        name: tensor name without `.weight`, such as `model.layers.3.mlp.up_proj`.
        type: what stands after the layer number, such as `mlp.up_proj`; the whole name outside the layers.
        layer: layer number, None outside the layers.
        shape: of the weight: (out, in) of a linear module, one number of a norm.
    """

    name: str
    type: str
    layer: int | None
    shape: tuple[int, ...]

    @property
    def weight(self) -> str:
        """Name of the weight tensor."""
        return self.name + _WEIGHT

    @property
    def is_scanned(self) -> bool:
        """Whether a ratio is computed: matrices inside the layers. Norms, embeddings and head have none."""
        return self.layer is not None and len(self.shape) == 2


def list_modules(checkpoint: Checkpoint) -> list[Module]:
    """Every module with a weight, by type and then by layer.

    Raises:
        InputError: the weights are quantized.
    """
    _check_is_plain(checkpoint)
    modules = [describe(name, info.shape) for name, info in checkpoint.tensors.items() if name.endswith(_WEIGHT)]
    return sorted(modules, key=lambda module: (module.type, natural_order(module.name)))


def describe(tensor: str, shape: tuple[int, ...]) -> Module:
    """The module whose weight is the tensor of this name and shape."""
    name = tensor.removesuffix(_WEIGHT)
    found = _LAYER.search(name)
    if not found:
        return Module(name=name, type=name, layer=None, shape=shape)
    return Module(name=name, type=name[found.end() :], layer=int(found[1]), shape=shape)


def natural_order(name: str) -> tuple[tuple[int, str], ...]:
    """Sort key that puts layer 2 before layer 10."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in name.split("."))


def _check_is_plain(checkpoint: Checkpoint) -> None:
    if "quantization_config" in checkpoint.config:
        raise InputError(
            f"{checkpoint.path} is quantized (quantization_config in its config.json); give the model it was made from"
        )
