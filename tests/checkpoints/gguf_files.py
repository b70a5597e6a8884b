"""GGUF files of the families' models, laid out and described as llama.cpp's converter does."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import torch

from storm_core.checkpoints.checkpoint import open_checkpoint
from storm_core.checkpoints.gguf_rotary import llama3_factors
from tests.checkpoints.families import FAMILIES

ARCHITECTURES = {
    "llama": "llama",
    "mistral": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
    "phi3": "phi3",
}


_SAY: Mapping[type, Callable[[gguf.GGUFWriter, str, Any], None]] = {
    bool: gguf.GGUFWriter.add_bool,
    int: gguf.GGUFWriter.add_uint32,
    float: gguf.GGUFWriter.add_float32,
}


def write_family_gguf(name: str, model: Path, file: Path, **described: Any) -> Path:
    """Write the model of a family as `write_gguf` does."""
    family = FAMILIES[name]
    return write_gguf(
        model, file, architecture=ARCHITECTURES[family.model_type], byte_level=family.byte_level, **described
    )


def write_gguf(
    model: Path,
    file: Path,
    *,
    architecture: str = "llama",
    byte_level: bool = True,
    general_name: str = "a model",
    half: bool = False,
    left_out: tuple[str, ...] = (),
    **said: float,
) -> Path:
    """Write a model as F32, or its matrices as F16, without the tensors `left_out`.

    `said` are further settings, such as `pooling_type=1`.
    """
    checkpoint = open_checkpoint(model)
    config = checkpoint.config
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_name(general_name)
    _describe(writer, config, architecture)
    for key, value in said.items():
        _SAY[type(value)](writer, f"{architecture}.{key}", value)
    _add_tokenizer(writer, model, config, byte_level=byte_level)
    for stored, tensor in _tensors(checkpoint, architecture):
        if stored not in left_out:
            written = tensor.half() if half and tensor.dim() > 1 else tensor
            writer.add_tensor(stored, written.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _describe(writer: gguf.GGUFWriter, config: Mapping[str, Any], architecture: str) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    size = _head_size(config)
    writer.add_key_length(size)
    writer.add_value_length(size)
    _describe_positions(writer, config, size)
    if architecture in ("gemma2", "gemma3", "phi3") and config.get("sliding_window"):
        writer.add_sliding_window(config["sliding_window"])
    if architecture == "gemma2":
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])


def _describe_positions(writer: gguf.GGUFWriter, config: Mapping[str, Any], size: int) -> None:
    rope = config["rope_parameters"]
    rope = rope.get("full_attention", rope)
    turned = int(size * rope.get("partial_rotary_factor", 1.0))
    writer.add_rope_dimension_count(turned)
    writer.add_rope_freq_base(rope["rope_theta"])
    kind = rope["rope_type"]
    if kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if kind == "longrope":
        writer.add_rope_scaling_orig_ctx_len(config["original_max_position_embeddings"])
        for length in ("long", "short"):
            factors = torch.tensor(rope[f"{length}_factor"], dtype=torch.float32)
            writer.add_tensor(f"rope_factors_{length}.weight", factors.numpy())
    if kind == "llama3":
        length = rope["original_max_position_embeddings"]
        factors = torch.tensor(llama3_factors(rope["factor"], length, rope["rope_theta"], turned))
        writer.add_tensor("rope_freqs.weight", factors.numpy())


def _head_size(config: Mapping[str, Any]) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def _add_tokenizer(writer: gguf.GGUFWriter, model: Path, config: Mapping[str, Any], *, byte_level: bool) -> None:
    tokenizer = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    added = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    vocabulary: dict[str, int] = {**tokenizer["model"]["vocab"], **added}
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2" if byte_level else "llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([_kind(token, set(added), byte_level=byte_level) for token in tokens])
    if byte_level:
        writer.add_token_merges(merges)
    else:
        rank = {merge.replace(" ", ""): -float(place) for place, merge in enumerate(merges)}
        writer.add_token_scores([rank.get(token, -1e6) for token in tokens])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_chat_template((model / "chat_template.jinja").read_text(encoding="utf-8"))


def _kind(token: str, control: set[str], *, byte_level: bool) -> int:
    if not byte_level and token.startswith("<0x"):
        return gguf.TokenType.BYTE
    return gguf.TokenType.CONTROL if token in control else gguf.TokenType.NORMAL


def _tensors(checkpoint: Any, architecture: str) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors under llama.cpp's names; Llama's rows of query and key are interleaved for its rotary embedding."""
    kind = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == architecture)
    names = gguf.get_tensor_name_map(kind, checkpoint.config["num_hidden_layers"])
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
    for name in checkpoint.tensors:
        tensor = checkpoint.load(name).float()
        of = next((checkpoint.config[count] for part, count in heads.items() if part in name), None)
        if architecture == "llama" and of:
            tensor = tensor.view(of, 2, -1, tensor.shape[1]).transpose(1, 2).reshape(tensor.shape)
        if architecture.startswith("gemma") and name.endswith("norm.weight"):
            tensor = tensor + 1
        stored = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert stored is not None, name
        yield stored, tensor
