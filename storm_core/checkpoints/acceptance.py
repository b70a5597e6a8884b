"""Which models the recipe takes: text models whose layers are attention and one dense feed-forward block.

Every stage opens its models by `open_checkpoint`, which asks here: what a later stage could not take is refused by the
first that sees it, with the reason. Nothing but names, numbers and shapes is looked at, so it takes no time.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from storm_core.checkpoints.shapes import EMBEDDING
from storm_core.errors import InputError

_ATTENTION = ("full_attention", "sliding_attention", "chunked_attention", "attention", "global_attention")
# Where configs say what each of their layers is.
_LAYER_KINDS = ("layer_types", "layers_block_type", "block_types", "layer_block_types")
_EXPERTS_SETTING = re.compile(r"(^|_)(num|n)_(\w+_)?experts$")
_STATE_SETTING = re.compile(
    r"(^|_)(mamba|ssm|lru|rwkv|xlstm|conv1d|conv|recurrent)(_|$)|^state_size$|^hybrid_|^linear_(num|key|value|conv)_"
)
_STATE_MODELS = re.compile(r"mamba|rwkv|xlstm|recurrent|jamba|zamba|bamba|hyena|retnet")
_PARTS = ("vision", "visual", "image", "audio", "speech", "video")
_EXPERTS_TENSOR = re.compile(r"\.(experts?|shared_experts?|block_sparse_moe|router)\.")
_STATE_TENSOR = re.compile(r"\.(mamba\w*|ssm\w*|linear_attn|conv\w*|time_mix\w*|recurrent\w*|rg_lru|A_log)(\.|$)")
_MULTIMODAL_TENSOR = re.compile(
    r"(^|\.)(vision\w*|visual|image\w*|audio\w*|speech\w*|language_model|multi_modal_projector)\."
)
# What PEFT writes where an adapter was not merged into the model: its matrices, and the model's own beside them.
_ADAPTER_TENSOR = re.compile(r"\.(lora_\w+|base_layer|modules_to_save|original_module|ia3_l|vera_lambda_\w)(\.|$)")
_OF_A_TEXT_MODEL = re.compile(r"^(model\.|lm_head\.)")
_MATRIX_OF_A_LAYER = re.compile(r"^model\.layers\.\d+\..+\.weight$")
# The quantization that `quantize` writes, which transformers and vLLM read.
_QUANTIZATION = "compressed-tensors"
_ALONE_READ = f"of quantized models {_QUANTIZATION} ones alone are read"
# Where other programs say it: compressed-tensors before its release 0.5, and MLX.
_OTHER_WORDS = ("compression_config", "quantization")
# Each is exact in float32, in which merge, train and quantize compute.
_DTYPES = ("F32", "F16", "BF16")


def check_taken(path: Path, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check that the model of this `config.json`, whose tensors have these shapes, is one that every stage takes.

    Raises:
        InputError: it is not; names the model, its kind and what shows it.
    """
    check_kind(path, config)
    for name, shape in shapes.items():
        if _ADAPTER_TENSOR.search(name):
            raise InputError(
                f"{path} has the tensor {name} of an adapter beside the model's; merge the adapter into the model, as "
                "PEFT's merge_and_unload does, and save that"
            )
        reason = _reason_of_tensor(name, shape)
        if reason:
            raise InputError(f"{_named(path, config)} {reason}; {_ADVICE}")
    if EMBEDDING not in shapes or not any(_is_matrix(name, shape) for name, shape in shapes.items()):
        raise InputError(
            f"{_named(path, config)} has no {EMBEDDING}, or no matrix in any layer: its tensors are not named as the "
            f"Llama family's are, by which scan and train choose them; {_ADVICE}"
        )


def check_kind(path: Path, config: Mapping[str, Any]) -> None:
    """Check the `config.json` alone, before any file of weights is there.

    Raises:
        InputError: as `check_taken`.
    """
    reason = next(_reasons_of_config(config), None)
    if reason:
        raise InputError(f"{_named(path, config)} {reason}; {_ADVICE}")
    window = config.get("sliding_window")
    if isinstance(window, int) and window < 1 and config.get("use_sliding_window", True):
        raise InputError(f"{path}: sliding_window {window} in its config.json is none; where there is none, write null")
    theta = config.get("rope_theta", 1.0)
    if not _is_number(theta) or not theta > 0:
        raise InputError(f"{path}: rope_theta in its config.json must be a number above 0, got {theta!r:.80}")


_ADVICE = "give a text model of attention and dense layers, such as Llama, Qwen2, Qwen3, Gemma, Phi-3 or Mistral"


def _named(path: Path, config: Mapping[str, Any]) -> str:
    return f"{path} (model_type {config.get('model_type')!r})"


def _reasons_of_config(config: Mapping[str, Any]) -> Iterator[str]:
    """Why this model is not taken; nothing where it is."""
    for key, value in _settings(config):
        if _EXPERTS_SETTING.search(key) and _is_number(value) and value > 0:
            yield f"is a mixture of experts ({key} {value}), whose fused weights scan and quantize cannot take apart"
    for key, value in config.items():
        if str(key).endswith("_config") and isinstance(value, dict) and any(part in key for part in _PARTS):
            yield f"is multimodal ({key} in its config.json), and only text is judged, trained and quantized"
    if isinstance(config.get("text_config"), dict):
        yield "is multimodal (text_config in its config.json), and only text is judged, trained and quantized"
    if config.get("is_encoder_decoder") or (isinstance(config.get("decoder"), dict)):
        yield "has an encoder and a decoder, and a causal language model is wanted"
    yield from _states(config)
    yield from _other_tasks(config)
    yield from _other_quantization(config)


def _states(config: Mapping[str, Any]) -> Iterator[str]:
    """Signs of layers that carry a state from token to token, of which no prefix can be read once for two questions."""
    kinds = {str(kind) for key in _LAYER_KINDS for kind in _listed(config.get(key))}
    for kind in sorted(kinds.difference(_ATTENTION)):
        yield f"is a hybrid or recurrent model ({kind} among its layers), which the judge cannot read in parts"
    for key, value in config.items():
        if _STATE_SETTING.search(str(key)) and value not in (None, False, [], {}):
            yield f"is a hybrid or recurrent model ({key} in its config.json), which the judge cannot read in parts"
    if _STATE_MODELS.search(str(config.get("model_type"))):
        yield "is a hybrid or recurrent model, which the judge cannot read in parts"


def _other_tasks(config: Mapping[str, Any]) -> Iterator[str]:
    for architecture in _listed(config.get("architectures")):
        if not str(architecture).endswith(("ForCausalLM", "LMHeadModel")):
            yield f"is a {architecture}, and a causal language model is wanted"


def check_dtypes(path: Path, config: Mapping[str, Any], dtypes: Mapping[str, str]) -> None:
    """Check that the tensors of a model that is not quantized, in these dtypes of safetensors, hold its weights.

    Raises:
        InputError: names the first that does not, and its dtype.
    """
    if "quantization_config" in config:
        return
    for name, dtype in dtypes.items():
        if dtype not in _DTYPES:
            raise InputError(
                f"tensor {name} in {path} is {dtype}, not one of {', '.join(_DTYPES)}, and its config.json names no "
                "quantization; give the model before quantization"
            )


def _other_quantization(config: Mapping[str, Any]) -> Iterator[str]:
    for key in _OTHER_WORDS:
        if isinstance(config.get(key), dict):
            yield f"is quantized ({key} in its config.json), and {_ALONE_READ}"
    if "quantization_config" in config:
        settings = config["quantization_config"]
        method = settings.get("quant_method") if isinstance(settings, dict) else settings
        if method != _QUANTIZATION:
            yield f"is quantized by {method!r}, and {_ALONE_READ}"


def _reason_of_tensor(name: str, shape: tuple[int, ...]) -> str | None:
    if _MULTIMODAL_TENSOR.search(name):
        return f"is multimodal (tensor {name}), and only text is judged, trained and quantized"
    if _EXPERTS_TENSOR.search(name):
        return f"is a mixture of experts (tensor {name}), whose fused weights scan and quantize cannot take apart"
    if _STATE_TENSOR.search(name):
        return f"is a hybrid or recurrent model (tensor {name}), which the judge cannot read in parts"
    if len(shape) > 2:
        return f"has a tensor {name} of shape {list(shape)}, and scan, train and quantize take matrices only"
    if not _OF_A_TEXT_MODEL.match(name):
        return f"has a tensor {name}, which is no part of a causal language model named as the Llama family's are"
    return None


def _is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and bool(_MATRIX_OF_A_LAYER.match(name))


def _settings(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every setting, those of nested configs too."""
    for key, value in config.items():
        yield str(key), value
        if isinstance(value, dict):
            yield from _settings(value)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
