"""The language model inside a multimodal one, where it is a whole model of text by itself.

Gemma 3 from 4B up is published with a vision tower. Its text part, given text alone, computes what the whole does, and
is an architecture of its own; every stage takes it, and what is written is a model of text.
"""

import re
from collections.abc import Mapping
from typing import Any

# Of the whole: the architecture of its text part, and the class that loads it.
_TEXT_PARTS = {"gemma3": ("gemma3_text", "Gemma3ForCausalLM")}
# How the versions of transformers name the text part's tensors.
_TEXT_NAMES = {
    r"^language_model\.model\.": "model.",
    r"^model\.language_model\.": "model.",
    r"^language_model\.lm_head\.": "lm_head.",
}
_OF_A_TEXT_MODEL = re.compile(r"^(model\.(embed_tokens|layers|norm)\.|lm_head\.)")
# Said of the whole and true of its text part.
_SHARED = ("bos_token_id", "eos_token_id", "pad_token_id", "dtype", "torch_dtype", "transformers_version")


def has_text_part(config: Mapping[str, Any]) -> bool:
    """Whether this is the config of a multimodal model whose text part is taken."""
    return config.get("model_type") in _TEXT_PARTS and isinstance(config.get("text_config"), dict)


def text_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the text part, as one of a model by itself; `has_text_part` must be true."""
    model_type, architecture = _TEXT_PARTS[config["model_type"]]
    shared = {key: config[key] for key in _SHARED if config.get(key) is not None}
    quantized = {key: config[key] for key in ("quantization_config",) if key in config}
    return {**config["text_config"], **shared, **quantized, "model_type": model_type, "architectures": [architecture]}


def text_name(stored: str) -> str | None:
    """What a tensor of the whole is called in the text part; None where it belongs to another part."""
    for pattern, replacement in _TEXT_NAMES.items():
        if re.match(pattern, stored):
            return re.sub(pattern, replacement, stored)
    return stored if _OF_A_TEXT_MODEL.match(stored) else None
