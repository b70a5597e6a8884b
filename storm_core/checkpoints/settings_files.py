"""Read and write the JSON files of a model directory."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storm_core.checkpoints.text_part import has_text_part, text_config
from storm_core.errors import InputError
from storm_core.json_objects import read_object

# Architectures whose code is a part of transformers, in all versions that are supported.
_OF_TRANSFORMERS = ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3")
# What a call of the model returns, and in which form: for the caller to say.
_OF_A_CALL = ("return_dict", "use_return_dict", "output_attentions", "output_hidden_states", "torchscript")


def read_model_config(path: Path) -> dict[str, Any]:
    """`config.json` of a model directory; of a multimodal model what it says of its text part, where that is taken.

    Left out is padding that has no row in the embedding, which it does not need, and what a call is to return.

    Raises:
        InputError: it is missing, not JSON, or asks for code from a hub (`auto_map`).
    """
    config = read_whole_config(path)
    own = text_config(config) if has_text_part(config) else config
    return _without_foreign_padding({key: value for key, value in own.items() if key not in _OF_A_CALL})


def read_whole_config(path: Path) -> dict[str, Any]:
    """`config.json` as it is.

    Raises:
        InputError: as `read_model_config`.
    """
    file = path / "config.json"
    if not file.is_file():
        raise InputError(f"no config.json in {path}; give a model directory in the Hugging Face layout")
    config = read_settings(file)
    if "auto_map" in config and not _names_code_of_transformers(config):
        raise InputError(f"{file} has auto_map, which runs code from a hub; that is never done")
    if not isinstance(config.get("model_type"), str | None):
        raise InputError(f"{file}: model_type must be the name of an architecture, got {config['model_type']!r:.80}")
    # Null is how some programs say that there is none.
    return {
        key: value
        for key, value in config.items()
        if key != "auto_map" and (key != "quantization_config" or value is not None)
    }


def _names_code_of_transformers(config: Mapping[str, Any]) -> bool:
    """Whether `auto_map` names classes that transformers has by now, as in Microsoft's Phi-3; its own are what runs."""
    family, named = str(config.get("model_type")).removesuffix("_text"), config.get("auto_map")
    if family not in _OF_TRANSFORMERS or not isinstance(named, dict):
        return False
    classes = rf"{family}(config|model|forcausallm|forsequenceclassification|fortokenclassification)"
    known = re.compile(rf"(configuration|modeling)_{family}\.{classes}", re.IGNORECASE)
    # The tokenizer is read from its file.
    return all(known.fullmatch(str(value)) for name, value in named.items() if name != "AutoTokenizer")


def _without_foreign_padding(config: dict[str, Any]) -> dict[str, Any]:
    padding, rows = config.get("pad_token_id"), config.get("vocab_size")
    is_foreign = isinstance(padding, int) and isinstance(rows, int) and not 0 <= padding < rows
    return {**config, "pad_token_id": None} if is_foreign else config


def read_settings(file: Path) -> dict[str, Any]:
    """The JSON object in a config file; empty where there is no file.

    Raises:
        InputError: it is not JSON, or no object, or has text that no file can hold.
    """
    if not file.is_file():
        return {}
    return read_object(file)


def write_settings(file: Path, settings: Mapping[str, Any]) -> None:
    """Write a JSON object, always in the same form, so that what is written again has the same digest."""
    file.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
