"""The shapes of a model's weights by its `config.json`, without any file of weights.

Shapes: H hidden, I intermediate, Q heads times head size, K key-value heads times head size, D head size, V vocabulary.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from storm_core.checkpoints.forward_settings import architecture_settings
from storm_core.errors import InputError

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
_NEEDED = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "vocab_size")
# What an architecture has and Llama has not: biases of query, key and value; norms of each head; norms after attention
# and feed-forward too; query, key and value in one matrix, gate and up in another.
_BIASED = ("qwen2",)
_HEAD_NORMED = ("qwen3", "gemma3_text")
_NORMED_AFTER = ("gemma2", "gemma3_text")
_FUSED = ("phi3",)
# Those of which a step's operations and memory are known.
_ESTIMATED = ("llama", "mistral", "qwen2", "qwen3")


@dataclass(frozen=True, kw_only=True)
class ModelShapes:
    """What decides the shapes of a model of the Llama family.

    Attributes:
        is_tied: whether the head is the embedding.
        has_bias: whether query, key and value have a bias.
        has_output_bias: whether what attention gives has one.
        has_mlp_bias: whether gate, up and down have one.
        has_head_norms: whether query and key are normalised head by head.
        is_normed_after: whether attention and feed-forward are normalised after them too.
        is_fused: whether query, key and value are one matrix, and gate and up another.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    key_value_heads: int
    head_size: int
    vocabulary: int
    is_tied: bool = False
    has_bias: bool = False
    has_output_bias: bool = False
    has_mlp_bias: bool = False
    has_head_norms: bool = False
    is_normed_after: bool = False
    is_fused: bool = False

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by name, embedding first, a tied head not again."""
        named: dict[str, tuple[int, ...]] = {EMBEDDING: (self.vocabulary, self.hidden)}
        for layer in range(self.layers):
            named |= {f"model.layers.{layer}.{name}": shape for name, shape in self._layer().items()}
        named["model.norm.weight"] = (self.hidden,)
        return named if self.is_tied else {**named, HEAD: (self.vocabulary, self.hidden)}

    def _layer(self) -> dict[str, tuple[int, ...]]:
        named: dict[str, tuple[int, ...]] = {}
        for name, out, size_in, has_bias in self._linears():
            named[f"{name}.weight"] = (out, size_in)
            if has_bias:
                named[f"{name}.bias"] = (out,)
        norms = ["input_layernorm", "post_attention_layernorm"]
        if self.is_normed_after:
            norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
        named |= {f"{name}.weight": (self.hidden,) for name in norms}
        if self.has_head_norms:
            named |= {f"self_attn.{part}_norm.weight": (self.head_size,) for part in "qk"}
        return named

    def _linears(self) -> Iterator[tuple[str, int, int, bool]]:
        """Of each linear module its name, what it gives, what it takes, and whether it has a bias."""
        hidden_H, intermediate_I = self.hidden, self.intermediate
        query_Q, key_K = self.heads * self.head_size, self.key_value_heads * self.head_size
        if self.is_fused:
            yield "self_attn.qkv_proj", query_Q + 2 * key_K, hidden_H, self.has_bias
            yield "mlp.gate_up_proj", 2 * intermediate_I, hidden_H, self.has_mlp_bias
        else:
            yield "self_attn.q_proj", query_Q, hidden_H, self.has_bias
            yield "self_attn.k_proj", key_K, hidden_H, self.has_bias
            yield "self_attn.v_proj", key_K, hidden_H, self.has_bias
            yield "mlp.gate_proj", intermediate_I, hidden_H, self.has_mlp_bias
            yield "mlp.up_proj", intermediate_I, hidden_H, self.has_mlp_bias
        yield "self_attn.o_proj", hidden_H, query_Q, self.has_output_bias
        yield "mlp.down_proj", hidden_H, intermediate_I, self.has_mlp_bias


def parameters_of(config: Mapping[str, Any], source: str) -> dict[str, tuple[int, ...]] | None:
    """Shape of every parameter by name; None where the architecture is not known here. `source` is for errors.

    Raises:
        InputError: the config lacks a size, or has one that is no number of places.
    """
    settings = architecture_settings(config)
    return None if settings is None else _shapes(config, settings, source).parameters()


def read_shapes(config: Mapping[str, Any], source: str) -> ModelShapes:
    """The shapes that a `config.json` describes, of an architecture whose steps are counted here.

    `source` names it in errors.

    Raises:
        InputError: another architecture, or a number is missing.
    """
    architecture = str(config.get("model_type"))
    settings = architecture_settings(config)
    if settings is None or architecture not in _ESTIMATED or config.get("mlp_bias") or config.get("attention_bias"):
        raise InputError(
            f"{source} is of model_type {architecture!r}, with weights of other shapes than those known here: "
            f"{', '.join(_ESTIMATED)} without biases of their own"
        )
    return _shapes(config, settings, source)


def _shapes(config: Mapping[str, Any], settings: Mapping[str, Any], source: str) -> ModelShapes:
    missing = [name for name in _NEEDED if not isinstance(config.get(name), int)]
    if missing:
        raise InputError(f"{source} has no {', '.join(missing)}; is it the config.json of a language model?")
    sizes = {name: config[name] for name in _NEEDED}
    sizes |= {name: settings[name] for name in ("num_key_value_heads", "head_dim")}
    for name, value in sizes.items():
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{source} has {name} {value!r}, and a number above 0 is wanted")
    architecture = str(config.get("model_type"))
    has_bias = bool(settings.get("attention_bias"))
    return ModelShapes(
        layers=config["num_hidden_layers"],
        hidden=config["hidden_size"],
        intermediate=config["intermediate_size"],
        heads=config["num_attention_heads"],
        key_value_heads=settings["num_key_value_heads"],
        head_size=settings["head_dim"],
        vocabulary=config["vocab_size"],
        is_tied=bool(settings["tie_word_embeddings"]),
        has_bias=has_bias or architecture in _BIASED,
        has_output_bias=has_bias,
        has_mlp_bias=bool(settings.get("mlp_bias")),
        has_head_norms=architecture in _HEAD_NORMED,
        is_normed_after=architecture in _NORMED_AFTER,
        is_fused=architecture in _FUSED,
    )
