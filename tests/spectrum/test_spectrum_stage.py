"""`storm scan` on checkpoints: what it writes, and what it refuses."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from storm_core.cli import main
from storm_core.errors import InputError
from storm_core.execution import Outcome, execute
from storm_core.spectrum.config import SCAN, ScanConfig
from storm_core.spectrum.snr import signal_to_noise_ratio
from tests.conftest import complaints

Tensors = dict[str, torch.Tensor]


def scan(model: Path, output: Path, percent: float = 50.0) -> Outcome:
    config = ScanConfig(unfrozen_percent=percent)
    return execute(SCAN, config, inputs={"model": [str(model)]}, outputs={"scan": output}, value_files={})


def alter(model: Path, target: Path, change: Callable[[Tensors], object]) -> Path:
    """A copy of a checkpoint whose tensors `change` has changed."""
    shutil.copytree(model, target)
    tensors = load_file(target / "model.safetensors")
    change(tensors)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


def read_json(file: Path) -> Any:
    return json.loads(file.read_text())


def test_scan_writes_the_ratio_of_every_matrix_and_infinity_for_the_rest(tiny_llama: Path, tmp_path: Path) -> None:
    scan(tiny_llama, tmp_path / "scan")
    tensors = load_file(tiny_llama / "model.safetensors")
    ratios = read_json(tmp_path / "scan/snr.json")
    for modules in ratios.values():
        for name, snr in modules.items():
            matrix = tensors[f"{name}.weight"]
            computed = ".layers." in name and matrix.ndim == 2
            assert snr == (signal_to_noise_ratio(matrix) if computed else math.inf)
    assert sum(map(len, ratios.values())) == len(tensors)
    assert set(ratios["self_attn.q_proj"]) == {f"model.layers.{layer}.self_attn.q_proj" for layer in (0, 1)}


def test_yaml_and_json_name_the_same_matrices(tiny_llama: Path, tmp_path: Path) -> None:
    outcome = scan(tiny_llama, tmp_path / "scan")
    patterns = yaml.safe_load((tmp_path / "scan/unfrozen_parameters.yaml").read_text())["unfrozen_parameters"]
    matrices = read_json(tmp_path / "scan/scan.json")["matrices"]
    assert patterns[:2] == ["^lm_head.weight$", "^model.embed_tokens.weight$"]
    unfrozen = {entry["module"] for entry in matrices if entry["unfrozen"]}
    norms = {name for name in patterns[2:] if "norm" in name}
    assert unfrozen == set(patterns[2:]) - norms | {"model.embed_tokens"}
    assert outcome.metrics["matrices"] == 14
    assert outcome.metrics["unfrozen_matrices"] == 7


def test_fraction_counts_weights_and_not_modules(tiny_llama: Path, tmp_path: Path) -> None:
    outcome = scan(tiny_llama, tmp_path / "scan")
    patterns = yaml.safe_load((tmp_path / "scan/unfrozen_parameters.yaml").read_text())["unfrozen_parameters"]
    tensors = load_file(tiny_llama / "model.safetensors")
    modules = {name.strip("^$").removesuffix(".weight") for name in patterns}
    trained = sum(tensor.numel() for name, tensor in tensors.items() if name.removesuffix(".weight") in modules)
    everything = sum(tensor.numel() for tensor in tensors.values())
    assert outcome.metrics["unfrozen_parameters_fraction"] == trained / everything


def test_the_same_model_gives_the_same_bytes(tiny_llama: Path, tmp_path: Path) -> None:
    first, second = (scan(tiny_llama, tmp_path / name).manifests["scan"].digest for name in "ab")
    assert first == second


@pytest.mark.parametrize(("percent", "matrices"), [(0.0, 0), (49.0, 0), (100.0, 14)])
def test_percent_bounds_what_is_trained(percent: float, matrices: int, tiny_llama: Path, tmp_path: Path) -> None:
    assert scan(tiny_llama, tmp_path / "scan", percent).metrics["unfrozen_matrices"] == matrices


def test_untied_head_is_listed_with_infinite_ratio_and_trained(tiny_llama: Path, tmp_path: Path) -> None:
    def untie(tensors: Tensors) -> None:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()

    model = alter(tiny_llama, tmp_path / "model", untie)
    config = read_json(model / "config.json")
    (model / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    scan(model, tmp_path / "scan")
    (head,) = [entry for entry in read_json(tmp_path / "scan/scan.json")["matrices"] if entry["type"] == "lm_head"]
    assert (head["snr"], head["unfrozen"], head["layer"]) == ("Infinity", True, None)


@pytest.mark.parametrize(
    "name", ["model.layers.1.mlp.up_proj.weight", "model.norm.weight", "model.embed_tokens.weight"]
)
def test_nan_stops_the_scan_and_names_the_tensor(
    name: str, tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = alter(tiny_llama, tmp_path / "model", lambda tensors: tensors[name].view(-1)[:9].fill_(math.nan))
    assert main(["scan", "--model", str(model), "--scan", str(tmp_path / "scan")]) == 1
    assert name in capsys.readouterr().err
    assert not (tmp_path / "scan").exists()


def test_quantized_weights_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    name = "model.layers.0.mlp.up_proj.weight"

    def quantize(tensors: Tensors) -> None:
        tensors[name] = tensors[name].to(torch.float8_e4m3fn)

    with pytest.raises(InputError, match=r"F8_E4M3.*before quantization"):
        scan(alter(tiny_llama, tmp_path / "model", quantize), tmp_path / "scan")


def test_quantized_config_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    model = alter(tiny_llama, tmp_path / "model", lambda tensors: None)
    config = {**read_json(model / "config.json"), "quantization_config": {"quant_method": "compressed-tensors"}}
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="quantization_config"):
        scan(model, tmp_path / "scan")


def test_checkpoint_named_otherwise_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    def rename(tensors: Tensors) -> None:
        tensors["transformer.wte.weight"] = tensors.pop("model.embed_tokens.weight")

    with pytest.raises(InputError, match=r"transformer\.wte\.weight.*Llama family"):
        scan(alter(tiny_llama, tmp_path / "model", rename), tmp_path / "scan")


def test_stacked_experts_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    def stack(tensors: Tensors) -> None:
        tensors["model.layers.0.mlp.experts.weight"] = torch.ones(2, 3, 4)

    with pytest.raises(InputError, match=r"mixture of experts.*mlp\.experts\.weight"):
        scan(alter(tiny_llama, tmp_path / "model", stack), tmp_path / "scan")


def test_directory_without_weights_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    assert main(["scan", "--model", str(model), "--scan", str(tmp_path / "scan")]) == 1
    assert len(complaints(capsys.readouterr().err)) == 1
