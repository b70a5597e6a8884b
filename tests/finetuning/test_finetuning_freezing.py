"""Patterns name parameters as axolotl reads them, and the proof sees every change."""

from pathlib import Path

import pytest
import torch

from storm_core.artifacts import open_directory
from storm_core.checkpoints.checkpoint import TensorInfo
from storm_core.checkpoints.loading import load_model
from storm_core.errors import InputError
from storm_core.finetuning.freezing import find_yaml, prove_freezing, trained_names, unfreeze
from storm_core.finetuning.patterns import match_parameters, read_patterns

NAMES = [f"model.layers.{layer}.mlp.{part}_proj.weight" for layer in (1, 10) for part in ("up", "down")]
SOURCE = Path("scan.yaml")
TENSORS = {name: TensorInfo(file=SOURCE, shape=(2, 3), dtype="BF16", stored_as=name) for name in "ab"}


def test_bare_module_name_matches_its_weight_and_bias_and_no_other_layer() -> None:
    names = [*NAMES, "model.layers.1.mlp.up_proj.bias"]
    matched = match_parameters(["model.layers.1.mlp.up_proj"], names, SOURCE)
    assert matched == {"model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.bias"}


def test_pattern_is_matched_from_the_start_of_the_name() -> None:
    assert match_parameters([r"model\.layers\.\d+\.mlp\.up"], NAMES, SOURCE) == set(NAMES[::2])
    with pytest.raises(InputError, match="matches no parameter"):
        match_parameters(["up_proj"], NAMES, SOURCE)


def test_pattern_that_matches_nothing_is_named() -> None:
    with pytest.raises(InputError, match=r"layers\.7\.mlp.*scan\.yaml.*matches no parameter"):
        match_parameters(["model.layers.1.mlp.up_proj", "model.layers.7.mlp.up_proj"], NAMES, SOURCE)


def test_pattern_that_is_no_regular_expression_is_named() -> None:
    with pytest.raises(InputError, match="not a regular expression"):
        match_parameters(["model.layers.(1"], NAMES, SOURCE)


def test_head_pattern_of_a_tied_model_trains_the_embedding(tiny_llama: Path) -> None:
    model = load_model(tiny_llama, torch.float32)
    unfreeze(model, ["^lm_head.weight$"], SOURCE)
    assert trained_names(model) == {"lm_head.weight", "model.embed_tokens.weight"}


def test_only_what_matches_requires_gradients(tiny_llama: Path) -> None:
    model = load_model(tiny_llama, torch.float32)
    unfreeze(model, ["model.layers.1.mlp.up_proj", "model.norm"], SOURCE)
    assert trained_names(model) == {"model.layers.1.mlp.up_proj.weight", "model.norm.weight"}


@pytest.mark.parametrize(
    "content", ["", "unfrozen_parameters:\n", "unfrozen_parameters: []\n", "- a\n", "other: [a]\n"]
)
def test_yaml_that_unfreezes_nothing_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "scan.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match="unfreezes nothing"):
        read_patterns(file)


@pytest.mark.parametrize("entry", ["''", "' '", '"\\t"'])
def test_an_empty_entry_would_train_everything_and_is_refused(entry: str, tmp_path: Path) -> None:
    file = tmp_path / "scan.yaml"
    file.write_text(f"unfrozen_parameters:\n- lm_head\n- {entry}\n")
    with pytest.raises(InputError, match=r"has an empty entry, .*; write \.\+ if all is meant"):
        read_patterns(file)


@pytest.mark.parametrize("content", ["unfrozen_parameters: a\n", "unfrozen_parameters: [1]\n", "a: [\n"])
def test_malformed_yaml_is_refused_in_one_line(content: str, tmp_path: Path) -> None:
    file = tmp_path / "scan.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=r"scan\.yaml") as caught:
        read_patterns(file)
    assert "\n" not in str(caught.value)


def test_published_yaml_in_a_foreign_directory_is_found(tmp_path: Path) -> None:
    (tmp_path / "snr_results_unfrozenparameters_50percent.yaml").write_text("unfrozen_parameters: [a]\n")
    (tmp_path / "snr_results.json").write_text("{}")
    assert find_yaml(open_directory(tmp_path)).name == "snr_results_unfrozenparameters_50percent.yaml"


@pytest.mark.parametrize("names", [["a.json"], ["a.yaml", "b.yml"]])
def test_no_yaml_or_several_are_refused(names: list[str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match="YAML files"):
        find_yaml(open_directory(tmp_path))


def test_proof_counts_trained_and_frozen() -> None:
    proof = prove_freezing({"a": "1", "b": "2"}, {"a": "9", "b": "2"}, {"a"}, TENSORS)
    assert proof["trained"] == {"tensors": 1, "parameters": 6, "unchanged_by_rounding": 0}
    assert proof["frozen"] == {"tensors": 1, "parameters": 6}
    assert proof["tensors"]["a"] == {"trained": True, "sha256_before": "1", "sha256_after": "9"}


def test_changed_frozen_tensor_is_an_error_that_names_it() -> None:
    with pytest.raises(RuntimeError, match=r"frozen tensors changed.*b"):
        prove_freezing({"a": "1", "b": "2"}, {"a": "9", "b": "3"}, {"a"}, TENSORS)


def test_vanished_tensor_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="vanished"):
        prove_freezing({"a": "1", "b": "2"}, {"a": "9"}, {"a"}, TENSORS)
