"""What training holds for each parameter: looked at in the optimizer of a real `storm train`."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.optim.optimizer import register_optimizer_step_post_hook

from storm_core.checkpoints.checkpoint import Checkpoint
from storm_core.checkpoints.loading import load_weights
from storm_core.execution import execute
from storm_core.finetuning.config import TRAIN, TrainConfig

OPTIONS = {"epochs": 1.0, "batch_size": 2, "learning_rate": 0.01, "warmup_ratio": 0.0, "evaluations": 1}


def train(model: Path, selection: Path, scan: Path, output: Path, **options: Any) -> dict[str, float]:
    outcome = execute(
        TRAIN,
        TrainConfig(**{**OPTIONS, **options}),
        inputs={"model": [str(model)], "selection": [str(selection)], "scan": [str(scan)]},
        outputs={"tuned_model": output / "tuned", "training": output / "training"},
        value_files={},
    )
    return dict(outcome.metrics)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The models that stages load."""
    models: list[Any] = []

    def load(checkpoint: Checkpoint, dtype: torch.dtype) -> Any:
        models.append(load_weights(checkpoint, dtype))
        return models[-1]

    monkeypatch.setattr("storm_core.finetuning.stage.load_weights", load)
    return models


def test_a_trained_parameter_takes_12_bytes_of_gradient_and_optimizer_and_a_frozen_one_none(
    tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path, held: list[Any]
) -> None:
    measured: list[tuple[int, int]] = []

    def look(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        gradients = sum(one.grad.nbytes for one in held[0].parameters() if one.grad is not None)
        # Besides the moments Adam counts its steps, in a number for each tensor.
        moments = [value for one in weights for value in optimizer.state[one].values() if value.dim()]
        measured.append((gradients, sum(value.nbytes for value in moments)))

    hook = register_optimizer_step_post_hook(look)
    try:
        metrics = train(tiny_llama, selection, tiny_scan, tmp_path, dtype="bfloat16")
    finally:
        hook.remove()
    trained = metrics["trained_parameters"]
    assert 0 < trained < sum(one.numel() for one in held[0].parameters())
    assert measured == [(4 * trained, 8 * trained)] * 5


def test_frozen_matrices_are_held_in_bfloat16_and_trained_ones_in_float32(
    tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path, held: list[Any]
) -> None:
    train(tiny_llama, selection, tiny_scan, tmp_path, dtype="bfloat16")
    (model,) = held
    matrices = [one for one in model.parameters() if one.dim() == 2]
    assert {one.dtype for one in matrices if one.requires_grad} == {torch.float32}
    assert {one.dtype for one in matrices if not one.requires_grad} == {torch.bfloat16}


def test_losses_are_those_of_frozen_weights_in_float32(
    tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tiny_llama, selection, tiny_scan, tmp_path / "bfloat16", dtype="bfloat16")
    monkeypatch.setattr("storm_core.finetuning.stage.hold_frozen_in_bfloat16", lambda *_: None)
    train(tiny_llama, selection, tiny_scan, tmp_path / "float32", dtype="bfloat16")
    histories = [json.loads((tmp_path / one / "training/history.json").read_text()) for one in ("bfloat16", "float32")]
    for part in ("train", "validation"):
        losses = [[point["loss"] for point in history[part]] for history in histories]
        assert losses[0] == losses[1]
    tuned = [load_file(tmp_path / one / "tuned/model.safetensors") for one in ("bfloat16", "float32")]
    assert all(weight.equal(tuned[1][name]) for name, weight in tuned[0].items())


def test_training_in_float32_holds_all_in_float32(
    tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path, held: list[Any]
) -> None:
    train(tiny_llama, selection, tiny_scan, tmp_path, dtype="float32")
    assert {one.dtype for one in held[0].parameters()} == {torch.float32}


def test_frozen_weights_that_bfloat16_would_round_stay_as_they_are(
    tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path, held: list[Any]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_llama, model)
    tensors = {name: tensor.float() * 1.001 for name, tensor in load_file(model / "model.safetensors").items()}
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    train(model, selection, tiny_scan, tmp_path, dtype="bfloat16")
    tuned = load_file(tmp_path / "tuned/model.safetensors")
    frozen = [name for name, one in held[0].named_parameters() if not one.requires_grad]
    assert frozen
    assert all(tuned[name].equal(tensors[name]) for name in frozen)


def test_frozen_embedding_stays_in_float32_as_head_too(
    tiny_llama: Path, selection: Path, tmp_path: Path, held: list[Any]
) -> None:
    model, scan = tmp_path / "model", tmp_path / "scan"
    shutil.copytree(tiny_llama, model)
    tensors = load_file(model / "model.safetensors")
    # Tied, and stored under both names, as some checkpoints have it.
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    scan.mkdir()
    (scan / "mine.yaml").write_text("unfrozen_parameters: [model.norm]\n")
    train(model, selection, scan, tmp_path, dtype="bfloat16")
    assert held[0].get_output_embeddings().weight is held[0].get_input_embeddings().weight
    assert held[0].get_input_embeddings().weight.dtype == torch.float32
