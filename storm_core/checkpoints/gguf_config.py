"""The `config.json` that a GGUF file would have as a checkpoint.

transformers reads some of a file's description and leaves out the rest without a word: rotary scaling, windows, head
sizes. Here every setting of the architecture is understood or the file is refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storm_core.checkpoints.acceptance import check_kind
from storm_core.checkpoints.gguf_description import Described, describe
from storm_core.checkpoints.gguf_rotary import check_attention_factor, rotary_of
from storm_core.errors import InputError, first_line

_MODEL_TYPES = {
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma2": "gemma2",
    "gemma3": "gemma3_text",
    "phi3": "phi3",
}
_SIZES = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
}
_CAPS = {"attn_logit_softcapping": "attn_logit_softcapping", "final_logit_softcapping": "final_logit_softcapping"}
_TOKENS = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}
# Understood below, or without a part in a forward pass.
_OTHERS = (
    *("vocab_size", "attention.head_count_kv", "attention.key_length", "attention.value_length"),
    *("attention.sliding_window", "attention.causal"),
    *("rope.dimension_count", "rope.freq_base", "rope.freq_base_swa", "rope.scaling.type", "rope.scaling.factor"),
    *("rope.scaling.original_context_length", "rope.scaling.finetuned", "rope.scaling.attn_factor"),
)
_GLOBAL_THETA, _THETA = 1e6, 1e4
# The models of these sizes scale attention by hidden size over heads, which no GGUF file says; llama.cpp knows them by
# their layers too (Gemma 2 27B and Gemma 3 27B).
_SCALED_BY_WIDTH = (("gemma2", 46), ("gemma3", 62))


def read_gguf_config(file: Path) -> dict[str, Any]:
    """The settings of the model in `file`, as `gguf_settings`.

    Raises:
        InputError: the file is damaged; or as `gguf_settings`.
    """
    return gguf_settings(describe(file))


def gguf_settings(described: Described) -> dict[str, Any]:
    """The `config.json` of the model that is described.

    Raises:
        InputError: it is of an architecture that is not converted, or something that is said of it is not understood.
    """
    try:
        return _config(described)
    except InputError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{described.name} lacks a setting of its model, or has a wrong one: {first_line(error)}"
        ) from error


def _config(described: Described) -> dict[str, Any]:
    settings, architecture = described.settings, described.architecture
    experts = settings.get("expert_count")
    check_kind(Path(described.name), {"model_type": architecture, **({"num_experts": experts} if experts else {})})
    if architecture not in _MODEL_TYPES:
        raise InputError(
            f"{described.name} is of the architecture {architecture!r}; of GGUF files those of "
            f"{', '.join(_MODEL_TYPES)} are converted. Give the model's directory in the Hugging Face layout"
        )
    unknown = sorted(settings.keys() - {*_SIZES, *_CAPS, *_OTHERS})
    if unknown:
        raise InputError(f"{described.name} says {architecture}.{unknown[0]}, which is not understood here")
    if not settings.get("attention.causal", True):
        raise InputError(f"{described.name} says {architecture}.attention.causal false: it is no causal language model")
    config = {ours: settings[theirs] for theirs, ours in _SIZES.items()}
    heads = config["num_attention_heads"]
    head_size = settings.get("attention.key_length") or _turned(settings) or config["hidden_size"] // heads
    if settings.get("attention.value_length", head_size) != head_size:
        raise InputError(f"{described.name} has values of another size than its keys, which no model here has")
    config |= {
        "model_type": _MODEL_TYPES[architecture],
        "num_key_value_heads": settings.get("attention.head_count_kv", heads),
        "head_dim": head_size,
        "vocab_size": described.shapes["token_embd.weight"][0],
        "tie_word_embeddings": "output.weight" not in described.shapes,
    }
    return {**config, **_rotary(described, config), **_own(described, config), **_token_ids(described)}


def _turned(settings: Mapping[str, Any]) -> int | None:
    return settings.get("rope.dimension_count")


def _rotary(described: Described, config: Mapping[str, Any]) -> dict[str, Any]:
    settings, layerwise = described.settings, described.architecture == "gemma3"
    turned = _turned(settings) or config["head_dim"]
    theta = float(settings.get("rope.freq_base", _GLOBAL_THETA if layerwise else _THETA))
    rope = {key.removeprefix("rope."): value for key, value in settings.items() if key.startswith("rope.")}
    found = rotary_of(described.name, rope, described.factors, theta, turned)
    check_attention_factor(described.name, rope, found["rope_type"], config["max_position_embeddings"])
    if turned != config["head_dim"]:
        if described.architecture != "phi3":
            raise InputError(f"{described.name} turns {turned} of {config['head_dim']} places of a head")
        found["partial_rotary_factor"] = turned / config["head_dim"]
    if layerwise:
        local = {"rope_type": "default", "rope_theta": float(settings.get("rope.freq_base_swa", _THETA))}
        return {"rope_parameters": {"full_attention": found, "sliding_attention": local}}
    if found["rope_type"] == "longrope":
        original = settings.get("rope.scaling.original_context_length")
        return {"rope_parameters": found, "original_max_position_embeddings": original}
    return {"rope_parameters": found}


def _own(described: Described, config: Mapping[str, Any]) -> dict[str, Any]:
    """What one architecture has and others have not."""
    settings, architecture = described.settings, described.architecture
    found: dict[str, Any] = {ours: float(settings[theirs]) for theirs, ours in _CAPS.items() if theirs in settings}
    window = settings.get("attention.sliding_window")
    if window and architecture not in ("gemma2", "gemma3", "phi3"):
        raise InputError(f"{described.name} says {architecture}.attention.sliding_window, which is not understood here")
    if window:
        found["sliding_window"] = window
    if architecture in ("gemma2", "gemma3"):
        by_width = (architecture, config["num_hidden_layers"]) in _SCALED_BY_WIDTH
        heads = config["num_attention_heads"]
        found["query_pre_attn_scalar"] = config["hidden_size"] // heads if by_width else config["head_dim"]
    if architecture == "llama":
        found["attention_bias"] = any("attn_q.bias" in name for name in described.shapes)
        found["mlp_bias"] = any("ffn_up.bias" in name for name in described.shapes)
    return found


def _token_ids(described: Described) -> dict[str, Any]:
    return {ours: described.tokenizer.get(f"{theirs}_token_id") for ours, theirs in _TOKENS.items()}
