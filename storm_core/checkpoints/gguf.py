"""A GGUF file dequantized into a checkpoint by transformers, which knows each architecture's tensor names."""

import math
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from storm_core.checkpoints.finite import finite
from storm_core.checkpoints.gguf_config import gguf_settings
from storm_core.checkpoints.gguf_description import describe
from storm_core.checkpoints.gguf_tokenizer import keep_own_tokens
from storm_core.errors import InputError
from storm_core.machine_errors import check_room

_MAGIC = b"GGUF"


def convert_gguf(file: Path, directory: Path, dtype: torch.dtype) -> None:
    """Write the model and tokenizer of `file` to `directory`, tensors dequantized and stored as `dtype`.

    Raises:
        InputError: `file` is not GGUF, is damaged, of an architecture that is not converted, holds only a part of a
            model or more than the model, or numbers that are none.
    """
    with file.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise InputError(f"{file} is not a GGUF file: it does not start with {_MAGIC.decode()}")
    described = describe(file)
    settings, stored = gguf_settings(described), described.weights
    needed = sum(math.prod(described.shapes[name]) for name in stored) * dtype.itemsize
    check_room(directory, needed, "the model")
    # Linked into a directory of its own: transformers prefers a tokenizer.json beside the file to the one inside it.
    with tempfile.TemporaryDirectory() as alone:
        link = Path(alone) / "model.gguf"
        link.symlink_to(file.resolve())
        try:
            model, tokenizer, missing = _load(link, settings, dtype)
        except (ValueError, KeyError, IndexError, OSError, RuntimeError, TypeError, struct.error) as error:
            reason = " ".join(str(error).replace(str(link), file.name).split())
            raise InputError(f"{file} cannot be converted: {reason}") from error
    if missing:
        # transformers fills what is missing with random numbers and carries on.
        raise InputError(f"{file} lacks {len(missing)} tensors, first {missing[0]!r}; is it one part of a split model?")
    for name, tensor in model.state_dict().items():
        finite(tensor, name, file)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    keep_own_tokens(directory, described.tokenizer)
    taken = len(model.state_dict()) - bool(settings["tie_word_embeddings"])
    if len(stored) != taken:
        raise InputError(f"{file} has {len(stored)} tensors, of which its architecture knows {taken}")


def _load(file: Path, settings: Mapping[str, Any], dtype: torch.dtype) -> tuple[Any, Any, list[str]]:
    """Model, tokenizer, and the names of tensors that the model has and the file has not."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where: dict[str, Any] = {"gguf_file": file.name, "trust_remote_code": False, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(file.parent, **where)
    # Made here: the one that transformers reads leaves out much, and goes by the model's name in places.
    config = AutoConfig.for_model(**settings)
    dequantize = GgufConfig(dequantize=True)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        file.parent, config=config, quantization_config=dequantize, dtype=dtype, output_loading_info=True, **where
    )
    model, loading = loaded
    return model, tokenizer, sorted(loading["missing_keys"])
