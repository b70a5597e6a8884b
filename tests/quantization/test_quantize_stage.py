import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from compressed_tensors.quantization import QuantizationConfig, QuantizationStatus
from safetensors.torch import load_file, save_file

from storm_core import cli
from storm_core.artifacts import open_directory
from storm_core.checkpoints.loading import load_model, load_tokenizer
from storm_core.errors import InputError
from storm_core.execution import Outcome, execute
from storm_core.quantization.config import QUANTIZE, QuantizeConfig
from tests.conftest import complaints

Q_PROJ = "model.layers.0.self_attn.q_proj"


def quantize(model: Path, output: Path, **options: Any) -> Outcome:
    return execute(
        QUANTIZE,
        QuantizeConfig(**options),
        inputs={"model": [str(model)]},
        outputs={"quantized_model": output},
        value_files={},
    )


@pytest.fixture
def model(tiny_llama: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may spoil."""
    return Path(shutil.copytree(tiny_llama, tmp_path / "model"))


@pytest.fixture(scope="module")
def quantized(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in FP8. Read only."""
    output = tmp_path_factory.mktemp("quantized") / "model"
    quantize(tiny_llama, output)
    return output


def test_linear_weights_become_fp8_with_scales_and_all_else_stays_as_it_was(tiny_llama: Path, quantized: Path) -> None:
    before, after = load_file(tiny_llama / "model.safetensors"), load_file(quantized / "model.safetensors")
    fp8 = {name for name in before if name.endswith("_proj.weight")}
    assert len(fp8) == 14
    assert after.keys() == before.keys() | {f"{name}_scale" for name in fp8}
    for name, tensor in before.items():
        if name in fp8:
            scale = after[f"{name}_scale"]
            assert after[name].dtype == torch.float8_e4m3fn
            assert (scale.shape, scale.dtype) == ((tensor.shape[0], 1), torch.bfloat16)
            error = (after[name].float() * scale.float() - tensor.float()).norm() / tensor.float().norm()
            assert error < 2**-4
        else:
            assert torch.equal(after[name], tensor)


def test_the_config_says_fp8_dynamic_to_compressed_tensors(tiny_llama: Path, quantized: Path) -> None:
    config = json.loads((quantized / "config.json").read_text())
    written = config.pop("quantization_config")
    before = json.loads((tiny_llama / "config.json").read_text())
    # Said once more in the words of transformers 4.
    assert config == {**before, "rope_theta": 10000.0, "rope_scaling": None, "torch_dtype": "bfloat16"}
    parsed = QuantizationConfig.model_validate(written)
    assert parsed.quantization_status == QuantizationStatus.COMPRESSED
    assert (parsed.quant_method, parsed.format, parsed.ignore) == ("compressed-tensors", "float-quantized", ["lm_head"])
    (group,) = parsed.config_groups.values()
    assert group.targets == ["Linear"]
    from compressed_tensors.quantization.quant_scheme import preset_name_to_scheme

    preset = preset_name_to_scheme("FP8_DYNAMIC", targets=["Linear"])
    described = {"num_bits", "type", "strategy", "symmetric", "dynamic"}
    assert group.weights.model_dump(include=described) == preset.weights.model_dump(include=described)
    assert group.input_activations.model_dump(include=described) == preset.input_activations.model_dump(
        include=described
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_transformers_loads_it_and_quantizes_activations_too(
    tiny_llama: Path, quantized: Path, dtype: torch.dtype
) -> None:
    tokens = load_tokenizer(quantized)("How easy is it to learn from this example?", return_tensors="pt").input_ids
    model = load_model(quantized, dtype)
    with torch.no_grad():
        logits = model(tokens).logits.float()
        exact = load_model(tiny_llama, dtype)(tokens).logits.float()
    # FP8's own error and no more: a scale read wrongly would be off by far more.
    assert 0 < (logits - exact).norm() / exact.norm() < 0.15
    module: Any = model.get_submodule(Q_PROJ)
    held = load_file(quantized / "model.safetensors")
    exact_weight = held[f"{Q_PROJ}.weight"].float() * held[f"{Q_PROJ}.weight_scale"].float()
    torch.testing.assert_close(module.weight.float(), exact_weight, rtol=2**-8, atol=0)
    # A token's activations are rounded to FP8 on the way in, so that the layer is not linear to the last bit.
    features = torch.randn(1, 1, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert not torch.allclose(module(features), torch.nn.functional.linear(features, module.weight), rtol=1e-3)


def test_quantizing_twice_gives_the_same_bytes(tiny_llama: Path, quantized: Path, tmp_path: Path) -> None:
    quantize(tiny_llama, tmp_path / "again")
    assert open_directory(tmp_path / "again").digest == open_directory(quantized).digest


def test_metrics_count_tensors_and_bytes(tiny_llama: Path, quantized: Path) -> None:
    metrics = open_directory(quantized).manifest.metrics
    weights = load_file(quantized / "model.safetensors")
    assert metrics["quantized_tensors"] == 14
    assert metrics["kept_tensors"] == len(load_file(tiny_llama / "model.safetensors")) - 14
    assert metrics["written_bytes"] == sum(tensor.nbytes for tensor in weights.values())
    assert metrics["source_bytes"] == sum(t.nbytes for t in load_file(tiny_llama / "model.safetensors").values())
    assert 0.01 < metrics["relative_error"] < 0.04


def test_ignored_modules_keep_their_precision_and_are_named_in_the_config(tiny_llama: Path, tmp_path: Path) -> None:
    quantize(tiny_llama, tmp_path / "out", ignore=("lm_head", "re:.*self_attn"))
    tensors = load_file(tmp_path / "out/model.safetensors")
    assert tensors[f"{Q_PROJ}.weight"].dtype == torch.bfloat16
    assert f"{Q_PROJ}.weight_scale" not in tensors
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["quantization_config"]["ignore"] == ["lm_head", "re:.*self_attn"]
    load_model(tmp_path / "out", torch.bfloat16)(torch.tensor([[1, 2, 3]]))


def test_a_model_with_a_row_of_zeros_still_computes(model: Path, tmp_path: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    tensors[f"{Q_PROJ}.weight"][3] = 0
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    quantize(model, tmp_path / "out")
    assert load_model(tmp_path / "out", torch.bfloat16)(torch.tensor([[1, 2, 3]])).logits.isfinite().all()


@pytest.mark.parametrize("name", [f"{Q_PROJ}.weight", "model.norm.weight"])
def test_nan_in_a_weight_is_refused_with_the_tensors_name(name: str, model: Path, tmp_path: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    tensors[name].view(-1)[5] = torch.nan
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=f"{name} in .*model holds NaN or infinity"):
        quantize(model, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_weights_of_another_format_are_refused(model: Path, tmp_path: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    tensors[f"{Q_PROJ}.weight"] = tensors[f"{Q_PROJ}.weight"].to(torch.float8_e4m3fn)
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=f"{Q_PROJ}.weight in .* is F8_E4M3, not one of F32, F16, BF16"):
        quantize(model, tmp_path / "out")


def test_from_the_command_line_and_not_twice(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once, twice = str(tmp_path / "once"), str(tmp_path / "twice")
    arguments = ["--scheme", "FP8_DYNAMIC", "--ignore", '["lm_head"]']
    assert cli.main(["quantize", "--model", str(tiny_llama), *arguments, "--quantized-model", once]) == 0
    capsys.readouterr()
    assert cli.main(["quantize", "--model", once, *arguments, "--quantized-model", twice]) == 1
    lines = complaints(capsys.readouterr().err)
    assert lines == [f"storm quantize: error: {once} is quantized already; give the model it was made from"]
    assert not Path(twice).exists()


def test_a_model_without_safetensors_gives_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "model.safetensors").unlink()
    assert cli.main(["quantize", "--model", str(model), "--quantized-model", str(tmp_path / "out")]) == 1
    assert f"no safetensors file in {model}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(InputError, match="scheme must be one of FP8_DYNAMIC, got 'INT4'"):
        QuantizeConfig(scheme="INT4")
