"""What a model's config says of its forward pass, its architecture's defaults filled in.

`merge` runs where transformers is not installed, so the defaults are here; a test compares them with transformers'.
"""

from collections.abc import Mapping
from typing import Any

from storm_core.checkpoints.rotary import ALL, rotary_settings

_LLAMA: Mapping[str, Any] = {
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "num_key_value_heads": None,
    "head_dim": None,
}
_GEMMA: Mapping[str, Any] = {
    "hidden_activation": "gelu_pytorch_tanh",
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "attention_bias": False,
    "query_pre_attn_scalar": 256,
    "final_logit_softcapping": None,
    "attn_logit_softcapping": None,
    "use_bidirectional_attention": False,
}
# Of each architecture all settings that its code reads in a forward pass, besides sizes, positions and windows.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "llama": {**_LLAMA, "attention_bias": False, "mlp_bias": False},
    "mistral": {**_LLAMA, "num_key_value_heads": 8},
    "qwen2": {**_LLAMA, "num_key_value_heads": 32},
    "qwen3": {**_LLAMA, "num_key_value_heads": 32, "head_dim": 128, "attention_bias": False},
    "gemma2": {**_GEMMA, "final_logit_softcapping": 30.0, "attn_logit_softcapping": 50.0},
    "gemma3_text": _GEMMA,
    "phi3": {**_LLAMA, "rms_norm_eps": 1e-5},
}
# Settings that say nothing of a forward pass, of architectures whose own are not listed above.
_NOT_OF_A_FORWARD_PASS = (
    *("architectures", "chunk_size_feed_forward", "dtype", "id2label", "initializer_range", "label2id"),
    *("layer_types", "max_position_embeddings", "max_window_layers", "original_max_position_embeddings"),
    *("output_attentions", "output_hidden_states", "partial_rotary_factor", "pretraining_tp", "problem_type"),
    *("quantization_config", "return_dict", "rope_local_base_freq", "rope_parameters", "rope_scaling", "rope_theta"),
    *("sliding_window", "torch_dtype", "transformers_version", "use_cache", "use_sliding_window"),
)
_DEFAULT_WINDOW = {"mistral": 4096, "gemma2": 4096, "gemma3_text": 4096, "qwen2": 4096, "qwen3": 4096}
# Architectures with windows in every layer, and those that have windows where `use_sliding_window` says so.
_EVERY_LAYER, _ASKED = ("mistral", "phi3"), ("qwen2", "qwen3")


def forward_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting that decides what the model's tensors compute: by name, in values that can be compared.

    Raises:
        InputError: the config contradicts itself.
    """
    model = str(config.get("model_type"))
    found = {"model_type": model, "num_attention_heads": config.get("num_attention_heads")}
    known = architecture_settings(config)
    if known is not None:
        found |= known
        found["use_bidirectional_attention"] = bool(found.get("use_bidirectional_attention"))
    else:
        found |= {key: value for key, value in config.items() if _decides(key, value)}
    for kind, settings in rotary_settings(config).items():
        found |= {_rotary_name(kind, key): value for key, value in settings.items()}
    return {**found, "sliding windows by layer": windows(config)}


def architecture_settings(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The settings besides positions and windows, defaults filled in; None where the architecture is not known here."""
    defaults = _DEFAULTS.get(str(config.get("model_type")))
    if defaults is None:
        return None
    found = {key: config.get(key, default) for key, default in defaults.items()}
    return {**found, **_sizes(config, found)}


def windows(config: Mapping[str, Any]) -> list[int | None]:
    """How many positions each layer sees; None where it sees all."""
    model, layers = str(config.get("model_type")), config.get("num_hidden_layers")
    window = config.get("sliding_window", _DEFAULT_WINDOW.get(model))
    if not isinstance(layers, int) or not window or (model in _ASKED and not config.get("use_sliding_window")):
        return []
    kinds = config.get("layer_types")
    if not isinstance(kinds, list) or model in _EVERY_LAYER:
        kinds = [_kind(config, model, layer) for layer in range(layers)]
    by_layer = [window if kind == "sliding_attention" else None for kind in kinds]
    return by_layer if any(by_layer) else []


def _kind(config: Mapping[str, Any], model: str, layer: int) -> str:
    """What a layer is where the config does not list them."""
    if model in _EVERY_LAYER:
        return "sliding_attention"
    if model == "gemma2":
        return "full_attention" if (layer + 1) % 2 == 0 else "sliding_attention"
    if model == "gemma3_text":
        pattern = config.get("_sliding_window_pattern", config.get("sliding_window_pattern", 6))
        return "full_attention" if (layer + 1) % pattern == 0 else "sliding_attention"
    beyond = layer >= (config.get("max_window_layers") or 28)
    return "sliding_attention" if config.get("use_sliding_window") and beyond else "full_attention"


def _sizes(config: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Heads of keys and values, and their size, where they follow from others."""
    heads, hidden = config.get("num_attention_heads"), config.get("hidden_size")
    size = found["head_dim"]
    if size is None and isinstance(heads, int) and isinstance(hidden, int) and heads:
        size = hidden // heads
    return {"head_dim": size, "num_key_value_heads": found["num_key_value_heads"] or heads}


def _decides(key: str, value: Any) -> bool:
    named = key in _NOT_OF_A_FORWARD_PASS or key.endswith(("_token_id", "_dropout", "_pdrop"))
    return not named and not key.startswith(("_", "unsloth"))


def _rotary_name(kind: str, key: str) -> str:
    name = key if key.startswith("rope") else f"rope {key}"
    return name if kind == ALL else f"{name} of {kind}"
