"""Which models are refused, by which sign, and that every stage says so."""

import math
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, Gemma3Config, Gemma3ForConditionalGeneration

from storm_core.checkpoints.acceptance import check_kind
from storm_core.checkpoints.checkpoint import open_checkpoint
from storm_core.checkpoints.loading import load_model, load_tokenizer
from storm_core.cli import main
from storm_core.errors import InputError
from storm_core.records import Message, make_example, write_examples
from tests.checkpoints.families import FAMILIES, SIZES, make_family
from tests.checkpoints.spoiling import change_config, change_tensors
from tests.conftest import complaints

PLAIN = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], **SIZES}
LAYERS = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
SIGNS = [
    ({"num_local_experts": 4}, "mixture of experts"),
    ({"n_routed_experts": 8}, "mixture of experts"),
    ({"ffn_config": {"moe_num_experts": 16}}, "mixture of experts"),
    ({"vision_config": {"hidden_size": 4}}, "multimodal"),
    ({"audio_config": {"hidden_size": 4}}, "multimodal"),
    ({"text_config": {"hidden_size": 4}}, "multimodal"),
    ({"layer_types": ["full_attention", "conv"]}, "hybrid or recurrent"),
    ({"layer_types": ["linear_attention", "full_attention"]}, "hybrid or recurrent"),
    ({"block_types": ["recurrent", "attention"]}, "hybrid or recurrent"),
    ({"mamba_d_state": 16}, "hybrid or recurrent"),
    ({"hybrid_override_pattern": "M-M*"}, "hybrid or recurrent"),
    ({"model_type": "rwkv7"}, "hybrid or recurrent"),
    ({"is_encoder_decoder": True}, "encoder and a decoder"),
    ({"architectures": ["LlamaForSequenceClassification"]}, "causal language model is wanted"),
    ({"quantization_config": {"quant_method": "awq"}}, "quantized by 'awq'"),
    ({"quantization_config": {}}, "quantized by None"),
    ({"compression_config": {"quant_method": "compressed-tensors"}}, r"is quantized \(compression_config in its"),
    ({"sliding_window": 0}, "sliding_window 0 in its config.json is none"),
    ({"sliding_window": -1}, "sliding_window -1 in its config.json is none"),
    ({"rope_theta": "1e4"}, r"rope_theta in its config\.json must be a number above 0, got '1e4'"),
    ({"rope_theta": None}, r"rope_theta in its config\.json must be a number above 0, got None"),
    ({"rope_theta": 0}, r"rope_theta in its config\.json must be a number above 0, got 0"),
    ({"quantization": {"group_size": 64, "bits": 4}}, r"is quantized \(quantization in its config\.json\)"),
]
TENSORS = [
    ("model.layers.0.mlp.experts.gate_up_proj", (4, 8, 8), "mixture of experts"),
    ("model.layers.1.block_sparse_moe.gate.weight", (4, 64), "mixture of experts"),
    ("vision_tower.patch_embedding.weight", (4, 3, 2, 2), "multimodal"),
    ("model.layers.0.linear_attn.in_proj.weight", (4, 4), "hybrid or recurrent"),
    ("model.layers.0.conv.conv.weight", (4, 1, 3), "hybrid or recurrent"),
    ("model.layers.0.mlp.stacked", (2, 3, 4), r"shape \[2, 3, 4\]"),
    ("score.weight", (2, 64), "no part of a causal language model"),
    (
        "model.layers.1.mlp.up_proj.lora_A.default.weight",
        (4, 64),
        "of an adapter beside the model's; merge",
    ),
    ("base_model.model.model.layers.1.mlp.up_proj.lora_B.weight", (64, 4), "of an adapter beside the model's"),
    ("model.layers.1.mlp.up_proj.base_layer.weight", (96, 64), "of an adapter beside the model's"),
    ("model.embed_tokens.modules_to_save.default.weight", (96, 64), "of an adapter beside the model's"),
]
# Each stage that opens a model, with what it wants besides.
COMMANDS = {
    "fetch": ["--source={model}", "--model={out}"],
    "score": ["--model={model}", "--examples={other}", "--verdicts={out}"],
    "audit": ["--model={model}", "--examples={other}", "--verdicts={other}", "--audit={out}"],
    "scan": ["--model={model}", "--scan={out}"],
    "merge": ["--base-model={model}", "--other-model={model}", "--merged-model={out}"],
    "train": [
        "--model={model}",
        "--selection={other}",
        "--scan={other}",
        "--tuned-model={out}",
        "--training={out}_too",
    ],
    "quantize": ["--model={model}", "--quantized-model={out}"],
    "evaluate": ["--model={model}", "--data={other}", "--suite=suite.yaml", "--evaluation={out}"],
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small Llama that a test may spoil."""
    return make_family("Llama 3.1", tmp_path / "model")


@pytest.mark.parametrize(("sign", "reason"), SIGNS, ids=lambda value: str(value)[:40])
def test_a_sign_in_the_config_is_named(sign: dict[str, Any], reason: str) -> None:
    check_kind(Path("it"), PLAIN)
    with pytest.raises(InputError, match=reason):
        check_kind(Path("it"), {**PLAIN, **sign})


@pytest.mark.parametrize("name", FAMILIES)
def test_no_dense_family_shows_a_sign(name: str) -> None:
    config = AutoConfig.for_model(FAMILIES[name].model_type).to_dict()
    check_kind(Path("it"), config)


@pytest.mark.parametrize(("name", "shape", "reason"), TENSORS, ids=[name for name, _, _ in TENSORS])
def test_a_tensor_that_no_stage_could_take_is_named(
    model: Path, name: str, shape: tuple[int, ...], reason: str
) -> None:
    change_tensors(model, lambda tensors: tensors.update({name: torch.ones(shape)}))
    with pytest.raises(InputError, match=reason):
        open_checkpoint(model)


def test_no_quantization_is_said_by_null_too(model: Path) -> None:
    change_config(model, quantization_config=None)
    assert "quantization_config" not in open_checkpoint(model).config


@pytest.mark.parametrize(
    "dtype",
    [torch.float64, torch.float8_e4m3fn, torch.float8_e5m2, torch.int64, torch.int8, torch.uint8, torch.bool],
    ids=str,
)
@pytest.mark.parametrize("name", ["model.norm.weight", "model.layers.1.mlp.up_proj.weight"])
def test_a_tensor_that_is_no_plain_weight_is_named(model: Path, name: str, dtype: torch.dtype) -> None:
    change_tensors(model, lambda tensors: tensors.update({name: tensors[name].to(dtype)}))
    with pytest.raises(InputError, match=rf"tensor {re.escape(name)} in .* is \w+, not one of F32, F16, BF16, and its"):
        open_checkpoint(model)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("seed", range(3))
def test_fetch_names_a_tensor_that_holds_no_number(
    seed: int, value: float, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(seed)  # noqa: S311 (no secret)
    spoilt = rng.choice(sorted(open_checkpoint(model).tensors))

    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        numbers = tensors[spoilt].view(-1)
        numbers[rng.randrange(len(numbers))] = value

    change_tensors(model, spoil)
    assert main(["fetch", f"--source={model}", f"--model={tmp_path / 'fetched'}"]) == 1
    assert f"{spoilt} in {model} holds NaN or infinity" in complaints(capsys.readouterr().err)[-1]


def as_a_mixture_of_experts(model: Path) -> None:
    change_config(model, num_local_experts=2)


def as_a_hybrid(model: Path) -> None:
    change_config(model, layer_types=["linear_attention", "full_attention"])


def without_a_matrix(model: Path) -> None:
    change_tensors(model, lambda tensors: tensors.pop("model.layers.1.mlp.down_proj.weight"))


def with_an_empty_matrix(model: Path) -> None:
    change_tensors(model, lambda tensors: tensors.update({"model.layers.1.mlp.down_proj.weight": torch.empty(0)}))


def beside_shards(model: Path) -> None:
    shutil.copyfile(model / "model.safetensors", model / "model-00001-of-00001.safetensors")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (as_a_mixture_of_experts, "is a mixture of experts"),
        (as_a_hybrid, "is a hybrid or recurrent model"),
        (without_a_matrix, "no tensor model.layers.1.mlp.down_proj.weight in"),
        (with_an_empty_matrix, "tensor model.layers.1.mlp.down_proj.weight in"),
        (beside_shards, "has model.safetensors and model-00001-of-00001.safetensors, which are the weights of two"),
    ],
)
@pytest.mark.parametrize("verb", COMMANDS)
def test_every_stage_refuses_in_the_same_words(
    verb: str,
    spoil: Callable[[Path], None],
    reason: str,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(model)
    (tmp_path / "other").mkdir()
    turns = [Message(role="user", content="How easy?"), Message(role="assistant", content="Easy.")]
    write_examples(tmp_path / "other/shard-00000.parquet", [make_example("chat", turns)])
    paths = {"model": model, "other": tmp_path / "other", "out": tmp_path / "out"}
    assert main([verb, *(option.format(**paths) for option in COMMANDS[verb])]) == 1
    (line,) = complaints(capsys.readouterr().err)
    assert line.startswith(f"storm {verb}: error: ")
    assert reason in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_5_text"])
def test_what_transformers_saves_of_a_kind_that_is_not_taken_is_refused(kind: str, tmp_path: Path) -> None:
    extra = {"num_local_experts": 2} if kind == "mixtral" else {}
    config = AutoConfig.for_model(kind, vocab_size=100, pad_token_id=None, intermediate_size=32, **LAYERS, **extra)
    made: Any = AutoModelForCausalLM.from_config(config)
    made.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="mixture of experts" if kind == "mixtral" else "hybrid or recurrent"):
        open_checkpoint(tmp_path)


def test_buffers_that_the_config_decides_are_left_out(model: Path, tmp_path: Path) -> None:
    names = ("inv_freq", "original_inv_freq", "cos_cached", "sin_cached")
    frequencies = {
        f"model.layers.{layer}.self_attn.rotary_emb.{name}": torch.ones(8) for layer in range(2) for name in names
    }
    change_tensors(model, lambda tensors: tensors.update(frequencies))
    assert not frequencies.keys() & open_checkpoint(model).tensors.keys()
    assert main(["fetch", f"--source={model}", f"--model={tmp_path / 'fetched'}"]) == 0
    assert not frequencies.keys() & load_file(tmp_path / "fetched/model.safetensors").keys()


def test_a_tied_head_stored_once_more_is_left_out(tmp_path: Path) -> None:
    model = make_family("SmolLM2", tmp_path / "model")
    change_tensors(model, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"].clone()}))
    assert main(["fetch", f"--source={model}", f"--model={tmp_path / 'fetched'}"]) == 0
    assert "lm_head.weight" not in load_file(tmp_path / "fetched/model.safetensors")


@pytest.mark.parametrize("change", [{"num_hidden_layers": 3}, {"num_attention_heads": 8}, {"intermediate_size": 32}])
def test_fetch_refuses_a_config_that_is_of_another_model(
    model: Path, tmp_path: Path, change: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    change_config(model, head_dim=None, **change)
    assert main(["fetch", f"--source={model}", f"--model={tmp_path / 'fetched'}"]) == 1
    assert "that its config.json describes" in complaints(capsys.readouterr().err)[-1]


def test_padding_needs_no_row_of_its_own_and_another_token_does(model: Path) -> None:
    tokenizer: Any = load_tokenizer(model)
    tokenizer.add_special_tokens({"pad_token": "<pad_x>"})
    tokenizer.save_pretrained(model)
    rows = load_model(model, torch.float32).config.vocab_size
    loaded = load_tokenizer(model)
    assert loaded.pad_token_id is not None
    assert loaded.pad_token_id < rows
    tokenizer.add_tokens(["<more>"])
    tokenizer.save_pretrained(model)
    load_tokenizer(model)
    tokenizer.eos_token = "<more>"  # noqa: S105 (a token of text)
    tokenizer.save_pretrained(model)
    with pytest.raises(InputError, match=rf"'<more>' in .* has ID {rows + 1}, and the embedding has {rows} rows"):
        load_tokenizer(model)


def test_what_a_call_returns_is_not_the_configs_to_say(model: Path) -> None:
    change_config(model, return_dict=False, output_attentions=True, output_hidden_states=True, torchscript=True)
    output = load_model(model, torch.float32)(torch.arange(3, 9)[None])
    assert output.logits.shape[:2] == (1, 6)
    assert output.hidden_states is None


@pytest.mark.parametrize("padding", [-1, 10**6])
def test_padding_that_the_config_counts_beyond_the_embedding_is_none(padding: int, model: Path, tmp_path: Path) -> None:
    before = load_model(model, torch.float32)
    change_config(model, pad_token_id=padding)
    assert main(["fetch", f"--source={model}", f"--model={tmp_path / 'fetched'}"]) == 0
    for directory in (model, tmp_path / "fetched"):
        loaded = load_model(directory, torch.float32)
        assert loaded.config.pad_token_id is None
        tokens = torch.arange(3, 40)[None]
        assert torch.equal(loaded(tokens).logits, before(tokens).logits)


def test_the_text_part_of_gemma_3_is_taken_with_its_logits(tmp_path: Path) -> None:
    text = make_family("Gemma 3 (text)", tmp_path / "text")
    whole = _with_a_tower(text, tmp_path / "whole")
    ids = torch.arange(90)[None]
    with torch.inference_mode():
        expected = load_model(text, torch.float32)(ids).logits
        assert torch.equal(load_model(whole, torch.float32)(ids).logits, expected)
        assert main(["fetch", f"--source={whole}", f"--model={tmp_path / 'fetched'}"]) == 0
        assert torch.equal(load_model(tmp_path / "fetched", torch.float32)(ids).logits, expected)
    assert load_file(tmp_path / "fetched/model.safetensors").keys() == load_file(text / "model.safetensors").keys()
    for verb, output in (("scan", "scan"), ("quantize", "quantized-model")):
        assert main([verb, f"--model={whole}", f"--{output}={tmp_path / verb}"]) == 0


def _with_a_tower(text: Path, directory: Path) -> Path:
    """The model of text inside a multimodal one, saved as Gemma 3 from 4B up is."""
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    inner = AutoConfig.from_pretrained(text)
    config = Gemma3Config(
        text_config=inner, vision_config={**tower, "image_size": 28, "patch_size": 14}, mm_tokens_per_image=4
    )
    whole: Any = Gemma3ForConditionalGeneration(config)
    whole.to(torch.bfloat16)
    part: Any = AutoModelForCausalLM.from_pretrained(text)
    whole.model.language_model.load_state_dict(part.model.state_dict())
    whole.save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(text / name, directory / name)
    return directory
