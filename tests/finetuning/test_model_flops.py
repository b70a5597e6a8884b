"""What a training step costs, counted by torch and by what the optimizer holds, beside the arithmetic."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from storm_core.checkpoints.settings_files import read_model_config
from storm_core.checkpoints.shapes import ModelShapes, read_shapes
from storm_core.errors import InputError
from storm_core.finetuning.freezing import trained_names, unfreeze
from storm_core.finetuning.model_flops import StepFlops, peak_flops_per_second, step_flops
from storm_core.spectrum.expected import expected_trained
from storm_core.spectrum.selection import choose, format_yaml

LLAMA_8B = ModelShapes(
    layers=32, hidden=4096, intermediate=14336, heads=32, key_value_heads=8, head_size=128, vocabulary=128256
)
BATCH, LENGTH = 2, 24


def tiny_model(*, tied: bool) -> Any:
    """Four layers, attention by plain matrix products, which torch counts on any machine."""
    config: Any = LlamaConfig(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=80,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
    )
    config._attn_implementation = "eager"
    return LlamaForCausalLM(config)


def spectrum_half(model: Any) -> None:
    """Train what Spectrum at 50 percent trains."""
    kinds: dict[str, dict[str, float]] = {}
    for name in (name.removesuffix(".weight") for name, _ in model.named_parameters()):
        layer, _, kind = name.removeprefix("model.layers.").partition(".")
        kinds.setdefault(kind if layer.isdigit() else name, {})[name] = float(hash(layer) % 7)
    patterns = yaml.safe_load(format_yaml(choose(kinds, 50.0)))["unfrozen_parameters"]
    unfreeze(model, patterns, Path("scan.yaml"))


def counted(model: Any) -> int:
    """Operations of one step, as torch counts them."""
    tokens_BT = torch.randint(0, 96, (BATCH, LENGTH))
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad])
    with FlopCounterMode(display=False) as counter:
        model(input_ids=tokens_BT, labels=tokens_BT, use_cache=False).loss.backward()
        optimizer.step()
    return int(counter.get_total_flops())


def expected(model: Any) -> StepFlops:
    shapes = read_shapes(model.config.to_dict(), "the model")
    lengths = [LENGTH] * BATCH
    return step_flops(shapes, trained_names(model), lengths=lengths, head_tokens=BATCH * LENGTH, is_causal=False)


@pytest.mark.parametrize("tied", [False, True])
def test_flops_of_a_spectrum_50_step_are_those_of_the_arithmetic(tied: bool) -> None:
    model = tiny_model(tied=tied)
    spectrum_half(model)
    assert counted(model) == pytest.approx(expected(model).executed, rel=0.01)


def test_flops_of_a_full_step_are_those_of_the_arithmetic_and_more() -> None:
    model = tiny_model(tied=False)
    everything = counted(model)
    assert everything == pytest.approx(expected(model).executed, rel=0.01)
    spectrum_half(model)
    assert counted(model) < 0.95 * everything


def test_recomputed_layers_are_counted_apart() -> None:
    model = tiny_model(tied=False)
    spectrum_half(model)
    model.gradient_checkpointing_enable()
    model.train()
    flops = step_flops(
        read_shapes(model.config.to_dict(), "the model"),
        trained_names(model),
        lengths=[LENGTH] * BATCH,
        head_tokens=BATCH * LENGTH,
        is_causal=False,
        recomputes_layers=True,
    )
    assert flops.executed == expected(model).executed
    assert counted(model) == pytest.approx(flops.executed + flops.recomputation, rel=0.01)


def test_frozen_layers_below_all_trained_ones_have_no_backward_pass() -> None:
    model = tiny_model(tied=False)
    unfreeze(model, ["model.layers.2.", "model.layers.3."], Path("scan.yaml"))
    assert counted(model) == pytest.approx(expected(model).executed, rel=0.01)


def test_spectrum_50_saves_of_llama_8b_what_the_arithmetic_says() -> None:
    trained = expected_trained(LLAMA_8B, 50.0)
    sizes = {name: torch.Size(shape).numel() for name, shape in LLAMA_8B.parameters().items()}
    assert sum(sizes.values()) == 8_030_261_248
    assert sum(sizes[name] for name in trained) == pytest.approx(4.54e9, rel=0.001)

    def saved(**how: Any) -> float:
        full, half = (step_flops(LLAMA_8B, names, head_tokens=8192, **how).executed for names in (set(sizes), trained))
        return 1 - half / full

    assert saved(lengths=[1] * 8192) == pytest.approx(0.155, abs=0.001)
    assert saved(lengths=[8192], is_causal=False) == pytest.approx(0.12, abs=0.002)
    assert saved(lengths=[8192]) == pytest.approx(0.136, abs=0.002)
    packed, unpacked = (step_flops(LLAMA_8B, trained, lengths=one, head_tokens=0) for one in ([100] * 4, [400]))
    assert packed.executed < unpacked.executed


@pytest.mark.parametrize("architecture", ["llama", "mistral", "qwen2", "qwen3"])
def test_shapes_are_those_that_transformers_makes(architecture: str) -> None:
    sizes = {"vocab_size": 96, "hidden_size": 32, "intermediate_size": 80, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    for tied in (False, True):
        config = AutoConfig.for_model(architecture, **sizes, **heads, tie_word_embeddings=tied)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
        assert read_shapes(config.to_dict(), "it").parameters() == shapes


def test_shapes_are_read_from_a_checkpoint(tiny_llama: Path) -> None:
    shapes = read_shapes(read_model_config(tiny_llama), str(tiny_llama))
    assert (shapes.layers, shapes.hidden, shapes.is_tied) == (2, 64, True)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "mixtral"}, "models/a is of model_type 'mixtral'"),
        ({"model_type": "llama", "hidden_size": 4}, "models/a has no num_hidden_layers, intermediate_size"),
    ],
)
def test_model_of_other_shapes_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_shapes(config, "models/a")


def test_peak_is_known_of_some_devices_only() -> None:
    assert peak_flops_per_second("NVIDIA-H100-80GB-HBM3") == peak_flops_per_second("NVIDIA H200") == 989.4e12
    assert peak_flops_per_second("NVIDIA A10G") is None
