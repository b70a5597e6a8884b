"""How a model and its tokenizer are loaded."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from storm_core.checkpoints.architecture import build_empty, check_tensors, read_architecture
from storm_core.checkpoints.checkpoint import Checkpoint, open_checkpoint
from storm_core.checkpoints.loading_directory import linked_alone
from storm_core.checkpoints.settings_files import read_model_config, read_whole_config
from storm_core.checkpoints.stop_tokens import read_stop_tokens
from storm_core.devices import resolve_device
from storm_core.errors import InputError, first_line
from storm_core.heartbeat import activity
from storm_core.progress import report

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_tokenizer(path: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model directory, which must have a chat template.

    Raises:
        InputError: there is no tokenizer, it has no chat template, or the model's `config.json` is none.
    """
    with activity("load the tokenizer"):
        from transformers import AutoTokenizer

        if (path / "config.json").is_file():  # Which transformers reads first, and finds mistakes in.
            read_architecture(path)
        try:
            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
        # The library of tokenizers raises the base class of all, and transformers what unchecked settings lead to.
        except Exception as error:
            raise InputError(f"no usable tokenizer in {path}: {first_line(error)}") from error
    if not tokenizer.chat_template:
        raise InputError(f"the tokenizer in {path} has no chat template; use an instruct model")
    loaded: PreTrainedTokenizerBase = tokenizer
    _check_rows(loaded, path)
    return loaded


def _check_rows(tokenizer: "PreTrainedTokenizerBase", path: Path) -> None:
    """Check that the tokens of every conversation have rows in the embedding.

    Padding needs none of its own, as its places are masked; nor does a token that no turn has, such as an image's.

    Raises:
        InputError: names a token that has none.
    """
    rows = read_model_config(path).get("vocab_size") if (path / "config.json").is_file() else None
    if not isinstance(rows, int):
        return
    outside = {text: number for text, number in tokenizer.get_vocab().items() if number >= rows}
    if outside.pop(str(tokenizer.pad_token), None) is not None:
        report(
            f"{tokenizer.pad_token!r} pads in {path}, but has no row in the embedding; another token does in its place"
        )
        tokenizer.pad_token = tokenizer.eos_token if tokenizer.eos_token not in outside else None
    ends = (tokenizer.bos_token, tokenizer.eos_token)
    needed = sorted(text for text in outside if text in ends or text in str(tokenizer.chat_template))
    if needed:
        raise InputError(
            f"token {needed[0]!r} in {path} has ID {outside[needed[0]]}, and the embedding has {rows} rows; give the "
            "model that the tokenizer belongs to, or resize its embedding"
        )


def load_model(path: Path, dtype: torch.dtype, **options: Any) -> "PreTrainedModel":
    """The causal language model in `path`, in evaluation mode on `resolve_device()`; safetensors only.

    Raises:
        InputError: the directory is not a usable checkpoint.
    """
    return load_weights(open_checkpoint(path), dtype, **options)


def load_weights(checkpoint: Checkpoint, dtype: torch.dtype, **options: Any) -> "PreTrainedModel":
    """As `load_model`, of a checkpoint that is open: the tensors that it names are those of the model.

    Raises:
        InputError: transformers cannot build the model, or would make up some of its weights.
    """
    read_stop_tokens(checkpoint.path)  # Which transformers reads with the model.
    with activity("load the model"), linked_alone(checkpoint) as directory:
        if "quantization_config" not in checkpoint.config:  # Scales are no parameters of the plain architecture.
            check_tensors(build_empty(checkpoint.path), checkpoint)
        model, loading = _read(checkpoint, directory, dtype=dtype, **options)
        _check_loaded(loading, checkpoint)
        # It remembers where it was read from, and says so in errors.
        model.name_or_path = model.config.name_or_path = str(checkpoint.path)
        model.to(resolve_device())  # type: ignore[arg-type]  # transformers wraps `to` without its signature
    model.train(False)
    return model


def _read(checkpoint: Checkpoint, directory: Path, **options: Any) -> tuple["PreTrainedModel", Mapping[str, Any]]:
    """The model by the files in `directory`, and what transformers says of loading it."""
    from transformers import AutoConfig, AutoModelForCausalLM

    if checkpoint.config != read_whole_config(checkpoint.path):
        options = {**options, "config": AutoConfig.for_model(**checkpoint.config)}
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            directory,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            key_mapping=_renamed(checkpoint) or None,
            output_loading_info=True,
            **options,
        )
    # What it finds wrong in a file of settings; the weights were looked at before.
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = first_line(error).replace(str(directory), str(checkpoint.path))
        raise InputError(f"transformers cannot load {checkpoint.path}: {reason}") from error
    return loaded[0], loaded[1]


def _renamed(checkpoint: Checkpoint) -> dict[str, str]:
    """Patterns of those stored names that are not the model's own, and what the tensors are called there."""
    return {
        f"^{re.escape(info.stored_as)}$": name for name, info in checkpoint.tensors.items() if info.stored_as != name
    }


def _check_loaded(loading: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    missing = sorted(loading["missing_keys"])
    if missing:
        raise InputError(f"transformers found no {missing[0]} in {checkpoint.path} and would make it up; save it again")
