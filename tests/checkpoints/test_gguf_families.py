"""A GGUF file gives the model that it was made of, with its positions, windows and caps; or it is refused."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from storm_core.checkpoints.config import FETCH, FetchConfig
from storm_core.checkpoints.gguf_config import read_gguf_config
from storm_core.checkpoints.gguf_rotary import llama3_factors, rotary_of
from storm_core.errors import InputError
from storm_core.execution import execute
from tests.checkpoints.families import FAMILIES, make_family
from tests.checkpoints.gguf_files import write_family_gguf
from tests.checkpoints.logits import read


def fetch(source: Path, output: Path) -> None:
    config = FetchConfig(dtype="bfloat16")
    execute(FETCH, config, inputs={"source": [str(source)]}, outputs={"model": output}, value_files={})


# llama.cpp knows no windows in an architecture of Mistral's, and writes none.
UNWINDOWED: dict[str, dict[str, Any]] = {"Mistral": {"sliding_window": None}}


@pytest.mark.nightly
@pytest.mark.parametrize("name", FAMILIES)
def test_gguf_gives_the_logits_of_the_model_it_was_made_of(name: str, tmp_path: Path) -> None:
    model = make_family(name, tmp_path / "model", **UNWINDOWED.get(name, {}))
    fetch(write_family_gguf(name, model, tmp_path / "it.gguf"), tmp_path / "fetched")
    expected, found = read(model), read(tmp_path / "fetched")
    logits = torch.tensor(expected["logits"])
    off = (logits - torch.tensor(found["logits"])).norm() / logits.norm()
    assert off < 1e-2, f"{off:.2%}"
    assert found["rendered"] == expected["rendered"]


@pytest.mark.parametrize("general_name", ["mistral", "Mistral-7B", "qwen2moe", ""])
def test_the_name_in_a_gguf_decides_nothing(general_name: str, tmp_path: Path) -> None:
    model = make_family("SmolLM2", tmp_path / "model")
    fetch(write_family_gguf("SmolLM2", model, tmp_path / "it.gguf", general_name=general_name), tmp_path / "fetched")
    logits = torch.tensor(read(model)["logits"])
    assert (logits - torch.tensor(read(tmp_path / "fetched")["logits"])).norm() / logits.norm() < 1e-2


@pytest.mark.parametrize("setting", ["pooling_type", "attention.sliding_window", "attention.scale", "expert_count"])
def test_a_setting_that_is_not_understood_is_refused_by_name(setting: str, tmp_path: Path) -> None:
    model = make_family("Qwen2", tmp_path / "model")
    said: dict[str, Any] = {setting: 4}
    file = write_family_gguf("Qwen2", model, tmp_path / "it.gguf", **said)
    named = f"says qwen2.{setting}, which is not understood here"
    reason = "(model_type 'qwen2') is a mixture of experts" if setting == "expert_count" else named
    # From its start: a refusal is not told again as something else.
    with pytest.raises(InputError, match="^" + re.escape(f"{file} {reason}")):
        read_gguf_config(file)


def test_a_model_that_sees_what_follows_is_refused(tmp_path: Path) -> None:
    model = make_family("Qwen2", tmp_path / "model")
    seen = {causal: _said(model, tmp_path / f"{causal}.gguf", {"attention.causal": causal}) for causal in (True, False)}
    read_gguf_config(seen[True])
    with pytest.raises(InputError, match=r"says qwen2\.attention\.causal false: it is no causal language model"):
        read_gguf_config(seen[False])


@pytest.mark.parametrize("name", ["Qwen2", "Llama 3.1", "Gemma 3 (text)", "Phi-3"])
def test_an_attention_factor_is_what_its_scaling_brings_or_refused(name: str, tmp_path: Path) -> None:
    model = make_family(name, tmp_path / "model")
    own = math.sqrt(1 + math.log(2048 / 256) / math.log(256)) if name == "Phi-3" else 1.0
    read_gguf_config(_said(model, tmp_path / "own.gguf", {"rope.scaling.attn_factor": own}, name))
    other = _said(model, tmp_path / "other.gguf", {"rope.scaling.attn_factor": own + 0.2}, name)
    with pytest.raises(InputError, match=rf"says rope\.scaling\.attn_factor {own + 0.2:g}, and {own:g} is what"):
        read_gguf_config(other)


def _said(model: Path, file: Path, said: dict[str, Any], name: str = "Qwen2") -> Path:
    return write_family_gguf(name, model, file, **said)


@pytest.mark.parametrize("factor", [2.0, 8.0, 32.0])
@pytest.mark.parametrize("length", [512, 8192])
@pytest.mark.parametrize("size", [64, 128])
def test_llama_3s_scaling_is_read_off_its_factors(factor: float, length: int, size: int) -> None:
    factors = llama3_factors(factor, length, 5e5, size)
    found = rotary_of("it", {}, {"rope_freqs.weight": factors}, 5e5, size)
    assert (found["factor"], found["original_max_position_embeddings"]) == (factor, length)
    with pytest.raises(InputError, match=r"not of Llama 3\.1's scaling"):
        rotary_of("it", {}, {"rope_freqs.weight": [*factors[:-1], factor + 1]}, 5e5, size)


def test_llama_3s_factors_are_those_of_transformers() -> None:
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    config = LlamaConfig(rope_parameters={**rope, "original_max_position_embeddings": 8192})
    theirs, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    plain = 5e5 ** -(torch.arange(0, 128, 2) / 128)
    torch.testing.assert_close(plain / theirs, torch.tensor(llama3_factors(8.0, 8192, 5e5, 128)))
