"""The architecture of a checkpoint as transformers builds it, compared with the tensors that the files hold."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from storm_core.checkpoints.checkpoint import Checkpoint
from storm_core.checkpoints.settings_files import read_model_config
from storm_core.errors import InputError, first_line

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


def build_empty(path: Path, dtype: torch.dtype | None = None) -> "PreTrainedModel":
    """The model that `config.json` in `path` describes, on the meta device: without memory for its weights.

    Raises:
        InputError: transformers knows no such causal language model, or cannot build it.
    """
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
    config = read_architecture(path)
    try:
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                config, trust_remote_code=False, **options
            )
    except _unbuildable() as error:
        raise InputError(f"{path} is not a causal language model of transformers: {first_line(error)}") from error
    return model


def read_architecture(path: Path) -> "PretrainedConfig":
    """What transformers reads of the `config.json` in `path`, where it knows each setting.

    Raises:
        InputError: it knows no such architecture, or refuses a setting.
    """
    from transformers import AutoConfig

    settings = read_model_config(path)
    if settings.get("model_type") is None:
        raise InputError(f"config.json in {path} has no model_type, which names the architecture")
    try:
        config: PretrainedConfig = AutoConfig.for_model(**settings)
    except _unbuildable() as error:
        raise InputError(f"{path} is not a causal language model of transformers, by its config: {error}") from error
    return config


def _unbuildable() -> tuple[type[Exception], ...]:
    """What transformers raises at settings that it cannot build a model of: it computes with most of them unchecked."""
    # Imported here: it comes with transformers.
    from huggingface_hub.errors import StrictDataclassError

    computed = (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, TypeError, ValueError)
    return (StrictDataclassError, *computed, OSError, ImportError, RuntimeError)


def check_tensors(model: "PreTrainedModel", checkpoint: Checkpoint) -> None:
    """Make sure that the checkpoint is the model: no weight renamed, left out, of another shape, or made up.

    Raises:
        InputError: names a tensor that only one of them has, or that has another shape in each.
    """
    kind, parts = type(model).__name__, parts_of(model)
    for name, info in checkpoint.tensors.items():
        if name not in parts:
            raise InputError(f"tensor {name} in {checkpoint.path} is no parameter of {kind} once loaded")
        if tuple(parts[name].shape) != info.shape:
            shapes = f"{list(info.shape)}, and {kind} by its config.json {list(parts[name].shape)}"
            raise InputError(f"tensor {name} in {checkpoint.path} has shape {shapes}")
    loaded = {id(parts[name]) for name in checkpoint.tensors}
    for name, part in parts.items():
        if id(part) not in loaded:
            raise InputError(f"{kind} needs {name}, which is not in {checkpoint.path}")


def parts_of(model: "PreTrainedModel") -> dict[str, torch.Tensor]:
    """Parameters, under all their names, and those buffers that are stored with them."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    stored = model.state_dict().keys()
    return {**{name: buffer for name, buffer in model.named_buffers() if name in stored}, **parameters}
