"""The shapes of a model's weights by its `config.json`, without any file of weights.

Shapes: H hidden, I intermediate, Q heads times head size, K key-value heads times head size, D head size, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storm_core.errors import InputError

# Architectures whose weights are named and shaped as below; in these the query, key and value have biases.
_BIASED: Mapping[str, bool] = {"llama": False, "mistral": False, "qwen2": True, "qwen3": False}
_NEEDED = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "vocab_size")


@dataclass(frozen=True, kw_only=True)
class ModelShapes:
    """What decides the shapes of a model of the Llama family.

    Attributes:
        is_tied: whether the head is the embedding.
        has_bias: whether query, key and value have a bias.
        has_head_norms: whether query and key are normalised head by head.
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
    has_head_norms: bool = False

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by name, embedding first, a tied head not again."""
        named: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocabulary, self.hidden)}
        for layer in range(self.layers):
            named |= {f"model.layers.{layer}.{name}": shape for name, shape in self._layer().items()}
        named["model.norm.weight"] = (self.hidden,)
        return named if self.is_tied else {**named, "lm_head.weight": (self.vocabulary, self.hidden)}

    def _layer(self) -> dict[str, tuple[int, ...]]:
        hidden_H, intermediate_I = self.hidden, self.intermediate
        query_Q, key_K = self.heads * self.head_size, self.key_value_heads * self.head_size
        named: dict[str, tuple[int, ...]] = {
            "self_attn.q_proj.weight": (query_Q, hidden_H),
            "self_attn.k_proj.weight": (key_K, hidden_H),
            "self_attn.v_proj.weight": (key_K, hidden_H),
            "self_attn.o_proj.weight": (hidden_H, query_Q),
            "mlp.gate_proj.weight": (intermediate_I, hidden_H),
            "mlp.up_proj.weight": (intermediate_I, hidden_H),
            "mlp.down_proj.weight": (hidden_H, intermediate_I),
            "input_layernorm.weight": (hidden_H,),
            "post_attention_layernorm.weight": (hidden_H,),
        }
        if self.has_bias:
            named |= {"self_attn.q_proj.bias": (query_Q,), "self_attn.k_proj.bias": (key_K,)}
            named["self_attn.v_proj.bias"] = (key_K,)
        if self.has_head_norms:
            named |= {f"self_attn.{part}_norm.weight": (self.head_size,) for part in "qk"}
        return named


def read_shapes(config: Mapping[str, Any], source: str) -> ModelShapes:
    """The shapes that a `config.json` describes; `source` names it in errors.

    Raises:
        InputError: another architecture, or a number is missing.
    """
    architecture = str(config.get("model_type"))
    if architecture not in _BIASED or config.get("mlp_bias") or config.get("attention_bias"):
        raise InputError(
            f"{source} is of model_type {architecture!r}, with weights of other shapes than those known here: "
            f"{', '.join(_BIASED)} without biases of their own"
        )
    missing = [name for name in _NEEDED if not isinstance(config.get(name), int)]
    if missing:
        raise InputError(f"{source} has no {', '.join(missing)}; is it the config.json of a language model?")
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    return ModelShapes(
        layers=config["num_hidden_layers"],
        hidden=hidden,
        intermediate=config["intermediate_size"],
        heads=heads,
        key_value_heads=config.get("num_key_value_heads") or heads,
        head_size=config.get("head_dim") or hidden // heads,
        vocabulary=config["vocab_size"],
        is_tied=bool(config.get("tie_word_embeddings", False)),
        has_bias=_BIASED[architecture],
        has_head_norms=architecture == "qwen3",
    )
