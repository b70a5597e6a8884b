"""What is compared of two configs, against what transformers makes of them."""

import random
from typing import Any

import pytest
from transformers import AutoConfig

from storm_core.checkpoints.forward_settings import forward_settings
from storm_core.checkpoints.rotary import older_names, rotary_settings
from storm_core.errors import InputError

SIZES = {
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
    "hidden_size": 64,
    "vocab_size": 64000,
    "max_position_embeddings": 4096,
}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
CHOICES: dict[str, tuple[Any, ...]] = {
    "rms_norm_eps": (1e-5, 1e-6),
    "tie_word_embeddings": (True, False),
    "num_key_value_heads": (1, 2, 4),
    "head_dim": (16, 32),
    "rope_theta": (1e4, 5e5),
    "use_sliding_window": (True, False),
    "sliding_window": (16, 4096),
    "max_window_layers": (2, 4),
}
WITH_SCALING = ("llama", "mistral", "qwen2", "qwen3", "gemma2")
FAMILIES = (*WITH_SCALING, "gemma3_text", "phi3")


def some_config(model_type: str, seed: int) -> dict[str, Any]:
    """A config that names some settings and leaves others to the architecture."""
    rng = random.Random(seed)  # noqa: S311 (no secret)
    named = {key: rng.choice(values) for key, values in CHOICES.items() if rng.random() < 0.5}
    if model_type in WITH_SCALING and rng.random() < 0.5:
        named["rope_scaling"] = {**LLAMA3, "original_max_position_embeddings": rng.choice((512, 1024))}
    return {"model_type": model_type, **SIZES, **named}


@pytest.mark.parametrize("model_type", FAMILIES)
@pytest.mark.parametrize("seed", range(12))
def test_what_a_config_leaves_out_is_what_transformers_takes(model_type: str, seed: int) -> None:
    config = some_config(model_type, seed)
    whole = AutoConfig.for_model(**config).to_dict()
    assert forward_settings(config) == forward_settings(whole)


@pytest.mark.parametrize("model_type", FAMILIES)
@pytest.mark.parametrize("seed", range(6))
def test_both_spellings_of_the_positions_are_read_alike(model_type: str, seed: int) -> None:
    whole = AutoConfig.for_model(**some_config(model_type, seed)).to_dict()
    older = {key: value for key, value in {**whole, **older_names(whole)}.items() if key != "rope_parameters"}
    assert rotary_settings(older) == rotary_settings(whole) == rotary_settings({**whole, **older_names(whole)})


@pytest.mark.parametrize("change", [{"rope_theta": 123.0}, {"rope_scaling": {"rope_type": "linear", "factor": 3.0}}])
def test_a_config_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    config = {"model_type": "llama", **SIZES, "rope_parameters": {**LLAMA3, "rope_theta": 1e4}, **change}
    with pytest.raises(InputError, match="contradicts rope_theta"):
        rotary_settings(config)
