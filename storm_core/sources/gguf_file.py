"""A GGUF file dequantised into a checkpoint by transformers, which knows each architecture's tensor names."""

from pathlib import Path

import torch

from storm_core.errors import InputError

_MAGIC = b"GGUF"


def convert_gguf(file: Path, directory: Path, dtype: torch.dtype) -> None:
    """Write the model and tokenizer of `file` to `directory`, tensors dequantised and stored as `dtype`.

    Raises:
        InputError: `file` is not GGUF, is damaged, of an architecture that transformers does not convert, or only a part
            of a model.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with file.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise InputError(f"{file} is not a GGUF file: it does not start with {_MAGIC.decode()}")
    where = {"gguf_file": file.name, "trust_remote_code": False, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **where)
        model, loading = AutoModelForCausalLM.from_pretrained(
            file.parent,
            quantization_config=GgufConfig(dequantize=True),
            dtype=dtype,
            output_loading_info=True,
            **where,
        )
    except (ValueError, KeyError, IndexError, OSError) as error:
        raise InputError(f"{file} cannot be converted: {' '.join(str(error).split())}") from error
    if loading["missing_keys"]:
        # transformers fills what is missing with random numbers and goes on.
        missing = sorted(loading["missing_keys"])
        raise InputError(f"{file} lacks {len(missing)} tensors, first {missing[0]!r}; is it one part of a split model?")
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
