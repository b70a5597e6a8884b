"""How a model and its tokenizer are loaded."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from storm_core.checkpoints.checkpoint import open_checkpoint
from storm_core.devices import resolve_device
from storm_core.errors import InputError, first_line
from storm_core.heartbeat import activity

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_tokenizer(path: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model directory, which must have a chat template.

    Raises:
        InputError: there is no tokenizer, or it has no chat template.
    """
    try:
        with activity("load the tokenizer"):
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError) as error:
        raise InputError(f"no usable tokenizer in {path}: {first_line(error)}") from error
    if not tokenizer.chat_template:
        raise InputError(f"the tokenizer in {path} has no chat template; use an instruct model")
    loaded: PreTrainedTokenizerBase = tokenizer
    return loaded


def load_model(path: Path, dtype: torch.dtype, **options: Any) -> "PreTrainedModel":
    """The causal language model in `path`, in evaluation mode on `resolve_device()`; safetensors only.

    Raises:
        InputError: the directory is not a usable checkpoint.
    """
    open_checkpoint(path)
    with activity("load the model"):
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, trust_remote_code=False, use_safetensors=True, local_files_only=True, **options
        )
        loaded: PreTrainedModel = model
        loaded.to(resolve_device())  # type: ignore[arg-type]  # transformers wraps `to` without its signature
    loaded.train(False)
    return loaded
