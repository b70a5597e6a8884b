import json
import re
import shutil
from pathlib import Path

import pytest
from compressed_tensors.utils.match import match_name
from hypothesis import given
from hypothesis import strategies as st

from storm_core.checkpoints.checkpoint import open_checkpoint
from storm_core.errors import InputError
from storm_core.quantization.linears import linear_modules, matches, modules_to_quantize

PROJECTIONS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]
PROJECTIONS += ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
BLOCKS = [f"model.layers.{layer}.{projection}" for layer in range(2) for projection in PROJECTIONS]


def test_linear_layers_come_from_the_architecture_without_the_embedding(tiny_llama: Path) -> None:
    assert linear_modules(open_checkpoint(tiny_llama)) == [*BLOCKS, "lm_head"]


def test_all_but_the_ignored_modules_are_chosen(tiny_llama: Path) -> None:
    checkpoint = open_checkpoint(tiny_llama)
    assert modules_to_quantize(checkpoint, ["lm_head"]) == BLOCKS
    chosen = modules_to_quantize(checkpoint, ["lm_head", "re:.*self_attn", "model.layers.0.mlp.up_proj"])
    assert chosen == [name for name in BLOCKS if ".mlp." in name and name != "model.layers.0.mlp.up_proj"]


@given(
    st.sampled_from([*BLOCKS, "lm_head"]),
    st.sampled_from(
        ["lm_head", "re:lm_head", "re:.*layers.1", "re:layers", "re:.*proj$", "model.layers.0", "re:.*head$"]
    ),
)
def test_entries_mean_what_they_mean_to_compressed_tensors(name: str, entry: str) -> None:
    assert matches(name, entry) == match_name(name, entry)


def test_an_entry_that_matches_nothing_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(InputError, match=r"ignore 'embed_out' matches no linear module of .*q_proj"):
        modules_to_quantize(open_checkpoint(tiny_llama), ["lm_head", "embed_out"])


def test_a_broken_pattern_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(InputError, match=re.escape("ignore 're:(' is not a regular expression")):
        modules_to_quantize(open_checkpoint(tiny_llama), ["re:("])


def test_ignoring_everything_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(InputError, match="leaves no linear module"):
        modules_to_quantize(open_checkpoint(tiny_llama), ["re:.*"])


def test_a_head_tied_to_the_embedding_cannot_be_quantized(tiny_llama: Path) -> None:
    with pytest.raises(InputError, match=r"no tensor 'lm_head.weight' .*; if it is tied"):
        modules_to_quantize(open_checkpoint(tiny_llama), [])


@pytest.mark.parametrize("model_type", ["unheard_of", "vit"])
def test_an_architecture_that_is_no_language_model_is_refused(
    tiny_llama: Path, tmp_path: Path, model_type: str
) -> None:
    model = Path(shutil.copytree(tiny_llama, tmp_path / "model"))
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "model_type": model_type}))
    with pytest.raises(InputError, match="is not a causal language model of transformers") as error:
        linear_modules(open_checkpoint(model))
    assert "\n" not in str(error.value)
