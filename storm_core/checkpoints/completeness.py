"""Whether the tensors of a checkpoint are the whole model that its `config.json` describes.

What transformers does not find it fills with random numbers. It is not installed where `scan` and `merge` run, so the
parameters of the families that every stage takes are known here; of others the layers must be alike, and where a stage
builds the model `architecture.check_tensors` compares all.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storm_core.checkpoints.shapes import parameters_of
from storm_core.errors import InputError

Shapes = Mapping[str, tuple[int, ...]]
_LAYER = re.compile(r"^model\.layers\.(\d+)\.(.+)$")
# How compressed-tensors stores a weight in parts: `weight_scale`, `weight_packed`, ...; and scales of activations.
_OF_A_QUANTIZED = re.compile(r"_(scale|zero_point|g_idx|shape|packed|global_scale)$")
_PACKED = ".weight_packed"


def check_whole(path: Path, config: Mapping[str, Any], shapes: Shapes) -> None:
    """Check that every parameter of the model is among the tensors, in its shape, and no other.

    Raises:
        InputError: names one that is missing, of another shape, empty, or no part of the model.
    """
    for name, shape in shapes.items():
        if 0 in shape:
            raise InputError(f"tensor {name} in {path} has shape {list(shape)}: {_EMPTY}")
    layers = config.get("num_hidden_layers")
    if isinstance(layers, int) and layers > len(shapes):  # Too many to name, maybe.
        raise InputError(f"num_hidden_layers in {path}/config.json is {layers}, and there are {len(shapes)} tensors")
    expected = parameters_of(config, f"config.json in {path}")
    if expected is None:
        _check_layers_alike(path, config, shapes)
    else:
        _check_parameters(path, expected, shapes, is_quantized="quantization_config" in config)


_EMPTY = (
    "it holds nothing, as DeepSpeed ZeRO-3 leaves weights that were not gathered when it saved "
    "(stage3_gather_16bit_weights_on_model_save); save the model again"
)


def _check_parameters(path: Path, expected: Shapes, shapes: Shapes, *, is_quantized: bool) -> None:
    of_whom = "the model that its config.json describes"
    missing = [name for name in expected if name not in shapes]
    if is_quantized:
        missing = [name for name in missing if f"{name.removesuffix('.weight')}{_PACKED}" not in shapes]
    if missing:
        count = f", nor {len(missing) - 1} others" if len(missing) > 1 else ""
        raise InputError(f"no tensor {missing[0]} in {path}{count}, though {of_whom} has it; is a file missing?")
    for name, shape in shapes.items():
        if name not in expected and not (is_quantized and _OF_A_QUANTIZED.search(name)):
            raise InputError(f"tensor {name} in {path} is no part of {of_whom}; is the config another model's?")
        if name in expected and shape != expected[name]:
            raise InputError(f"tensor {name} in {path} has shape {list(shape)}, in {of_whom} {list(expected[name])}")


def _check_layers_alike(path: Path, config: Mapping[str, Any], shapes: Shapes) -> None:
    """Check that each layer has the tensors that the others have."""
    found: dict[int, set[str]] = {}
    for name in shapes:
        matched = _LAYER.match(name)
        if matched:
            found.setdefault(int(matched[1]), set()).add(matched[2])
    layers = config.get("num_hidden_layers")
    wanted = range(layers if isinstance(layers, int) else len(found))
    for layer in wanted:
        lacking = set().union(*found.values()) - found.get(layer, set())
        if lacking:
            raise InputError(f"no tensor model.layers.{layer}.{min(lacking)} in {path}, though other layers have it")
    beyond = sorted(found.keys() - set(wanted))
    if beyond:
        raise InputError(f"{path} has tensors of layer {beyond[0]}, though its config.json counts {len(wanted)} layers")
