"""`storm train` on tiny models: what it trains, what it proves, and what it refuses."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from storm_core.checkpoints.checkpoint import Checkpoint
from storm_core.checkpoints.loading import load_model, load_tokenizer, load_weights
from storm_core.cli import main
from storm_core.errors import InputError
from storm_core.execution import Outcome, execute
from storm_core.finetuning.config import TRAIN, TrainConfig
from storm_core.records import Message, make_example

# Steps large enough for bfloat16 to keep them.
FAST = {"epochs": 2.0, "batch_size": 2, "learning_rate": 0.01, "warmup_ratio": 0.0, "evaluations": 2}


def train(
    model: Path, selection: Path, scan: Path, output: Path, more: dict[str, list[str]] | None = None, **options: Any
) -> Outcome:
    return execute(
        TRAIN,
        TrainConfig(**{**FAST, **options}),
        inputs={"model": [str(model)], "selection": [str(selection)], "scan": [str(scan)], **(more or {})},
        outputs={"tuned_model": output / "tuned", "training": output / "training"},
        value_files={},
    )


def read_json(file: Path) -> Any:
    return json.loads(file.read_text())


def write_scan(directory: Path, *patterns: str) -> Path:
    """A plain directory with a Spectrum YAML."""
    directory.mkdir()
    lines = ["unfrozen_parameters:", *(f"- {pattern}" for pattern in patterns)]
    (directory / "mine.yaml").write_text("\n".join(lines) + "\n")
    return directory


def test_only_what_the_scan_chose_changes(tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path) -> None:
    train(tiny_llama, selection, tiny_scan, tmp_path)
    before = load_file(tiny_llama / "model.safetensors")
    after = load_file(tmp_path / "tuned/model.safetensors")
    chosen = {entry["module"] for entry in read_json(tiny_scan / "scan.json")["matrices"] if entry["unfrozen"]}
    assert before.keys() == after.keys()
    for name, weight in before.items():
        assert after[name].dtype == weight.dtype
        if "norm" not in name:
            assert weight.equal(after[name]) == (name.removesuffix(".weight") not in chosen), name


def test_proof_lists_every_tensor_with_its_hashes(
    tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path
) -> None:
    outcome = train(tiny_llama, selection, tiny_scan, tmp_path)
    proof = read_json(tmp_path / "training/freezing.json")
    tensors = load_file(tiny_llama / "model.safetensors")
    assert proof["tensors"].keys() == tensors.keys()
    for entry in proof["tensors"].values():
        assert entry["trained"] or entry["sha256_before"] == entry["sha256_after"]
    everything = sum(tensor.numel() for tensor in tensors.values())
    assert proof["trained"]["parameters"] + proof["frozen"]["parameters"] == everything
    assert outcome.metrics["trained_parameters"] == proof["trained"]["parameters"]


def test_training_lowers_the_validation_loss(
    tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path
) -> None:
    metrics = train(tiny_llama, selection, tiny_scan, tmp_path).metrics
    assert metrics["validation_loss_after"] < 0.8 * metrics["validation_loss_before"]


def test_history_holds_every_update_and_the_validation_before_and_after(
    tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path
) -> None:
    train(tiny_llama, selection, tiny_scan, tmp_path)
    history = read_json(tmp_path / "training/history.json")
    assert [entry["step"] for entry in history["train"]] == list(range(1, 11))
    assert [entry["step"] for entry in history["validation"]] == [0, 5, 10]
    assert set(history["train"][0]) == {"step", "loss", "learning_rate", "gradient_norm"}


def test_loss_on_text_held_out_is_taken_before_and_after(
    tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text"
    text.mkdir()
    (text / "one.txt").write_text("A text that nobody trains on. " * 20)
    (text / "other.md").write_text("no text for this")
    model = load_model(tiny_llama, torch.float32)
    tokens = load_tokenizer(tiny_llama)((text / "one.txt").read_text(), add_special_tokens=False)["input_ids"]
    pieces = [torch.tensor([tokens[start : start + 100]]) for start in range(0, len(tokens), 100)]
    sums = [model(input_ids=piece, labels=piece).loss.item() * (piece.shape[1] - 1) for piece in pieces]
    expected = sum(sums) / sum(piece.shape[1] - 1 for piece in pieces)

    outcome = train(
        tiny_llama, selection, tiny_scan, tmp_path, {"held_out": [str(text)]}, dtype="float32", max_length=100
    )
    assert outcome.metrics["held_out_loss_before"] == pytest.approx(expected, rel=1e-4)
    points = read_json(tmp_path / "training/history.json")["held_out"]
    assert [point["step"] for point in points] == [0, 10]
    assert outcome.metrics["held_out_loss_after"] == points[1]["loss"] != points[0]["loss"]


def test_text_held_out_that_holds_none_is_refused(
    tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/one.txt").write_text("")
    with pytest.raises(InputError, match=r"has no \.txt file with text in it"):
        train(tiny_llama, selection, tiny_scan, tmp_path, {"held_out": [str(tmp_path / "empty")]})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_same_seed_gives_the_same_bytes(
    dtype: str, tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path
) -> None:
    first, second = (
        train(tiny_llama, selection, tiny_scan, tmp_path / name, dtype=dtype, seed=1).manifests for name in "ab"
    )
    for output in ("tuned_model", "training"):
        assert first[output].digest == second[output].digest


def test_foreign_yaml_decides_what_is_trained(tiny_llama: Path, selection: Path, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan", "model.layers.1.mlp.down_proj", "^model.layers.0.self_attn.[qk]_proj.weight$")
    train(tiny_llama, selection, scan, tmp_path)
    tensors = read_json(tmp_path / "training/freezing.json")["tensors"]
    assert {name for name, entry in tensors.items() if entry["trained"]} == {
        "model.layers.1.mlp.down_proj.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.k_proj.weight",
    }


def test_gradient_checkpointing_changes_no_result(tiny_llama: Path, selection: Path, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan", "model.layers.1.mlp.down_proj")
    losses = [
        train(
            tiny_llama, selection, scan, tmp_path / str(on), dtype="float32", epochs=1.0, gradient_checkpointing=on
        ).metrics["validation_loss_after"]
        for on in (False, True)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_float32_checkpoint_stays_float32(tiny_llama: Path, selection: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_llama, model)
    tensors = {name: tensor.float() for name, tensor in load_file(model / "model.safetensors").items()}
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    train(model, selection, write_scan(tmp_path / "scan", "model.norm"), tmp_path, epochs=1.0)
    assert {tensor.dtype for tensor in load_file(tmp_path / "tuned/model.safetensors").values()} == {torch.float32}


def test_update_too_small_for_bfloat16_is_counted_and_no_error(
    tiny_llama: Path, selection: Path, tmp_path: Path
) -> None:
    scan = write_scan(tmp_path / "scan", "model.norm")
    metrics = train(tiny_llama, selection, scan, tmp_path, learning_rate=1e-7, epochs=1.0).metrics
    assert metrics["tensors_unchanged_by_rounding"] == 1


def test_weight_that_gets_no_gradient_stops_the_stage(
    tiny_llama: Path, selection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.optim.AdamW.step", lambda *_: None)
    with pytest.raises(RuntimeError, match=r"model\.norm\.weight was to be trained, but did not change"):
        train(tiny_llama, selection, write_scan(tmp_path / "scan", "model.norm"), tmp_path, epochs=1.0)
    assert not (tmp_path / "tuned").exists()


def test_frozen_weight_that_changes_stops_the_stage(
    tiny_llama: Path, selection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(checkpoint: Checkpoint, dtype: torch.dtype) -> Any:
        model = load_weights(checkpoint, dtype)
        model.get_parameter("model.layers.0.mlp.up_proj.weight").data[0, 0] += 1
        return model

    monkeypatch.setattr("storm_core.finetuning.stage.load_weights", damaged)
    with pytest.raises(RuntimeError, match=r"frozen tensors changed.*layers\.0\.mlp\.up_proj"):
        train(tiny_llama, selection, write_scan(tmp_path / "scan", "model.norm"), tmp_path, epochs=1.0)
    assert not (tmp_path / "tuned").exists()


def test_unusable_examples_are_counted(
    tiny_llama: Path, tiny_scan: Path, make_selection: Callable[..., Path], tmp_path: Path
) -> None:
    def ask(question: str) -> Any:
        return make_example("test", [Message(role="user", content=question), Message(role="assistant", content="a")])

    selection = make_selection([ask("q"), ask("r"), ask("s"), ask("q " * 300), ask("<|im_end|>")], [ask("v")])
    metrics = train(tiny_llama, selection, tiny_scan, tmp_path, max_length=60).metrics
    counted = read_json(tmp_path / "training/examples.json")["train"]
    assert (counted["read"], counted["kept"]) == (5, 3)
    assert counted["dropped"] == {"control_tokens": 1, "too_long": 1}
    assert metrics["train_dropped_too_long"] == 1


def test_nothing_left_to_train_on_is_refused(
    tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"train\.parquet can be used: 10 of 10 .* longer than max_length; raise"):
        train(tiny_llama, selection, tiny_scan, tmp_path, max_length=8)


def test_single_update_with_warm_up_is_refused(
    tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="warmup_ratio=0"):
        train(tiny_llama, selection, tiny_scan, tmp_path, epochs=0.1, warmup_ratio=0.03)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("unfrozen_parameters: []\n", "unfreezes nothing"),
        ("unfrozen_parameters: [model.layers.9.mlp]\n", "'model.layers.9.mlp'"),
    ],
)
def test_yaml_that_does_not_fit_is_one_line_on_the_command_line(
    content: str,
    message: str,
    tiny_llama: Path,
    selection: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    scan = tmp_path / "scan"
    scan.mkdir()
    (scan / "unfrozen_parameters.yaml").write_text(content)
    outputs = ["--tuned-model", str(tmp_path / "tuned"), "--training", str(tmp_path / "training")]
    arguments = ["train", "--model", str(tiny_llama), "--selection", str(selection), "--scan", str(scan), *outputs]
    assert main(arguments) == 1
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "error" in line]
    assert message in line
    assert not (tmp_path / "tuned").exists()
    assert not (tmp_path / "training").exists()


def test_checkpoint_with_a_foreign_tensor_is_refused(
    tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_llama, model)
    tensors = {**load_file(model / "model.safetensors"), "model.extra.weight": torch.ones(2)}
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"model\.extra\.weight"):
        train(model, selection, tiny_scan, tmp_path)


def test_checkpoint_without_one_of_its_tensors_is_refused(
    tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_llama, model)
    tensors = load_file(model / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"no tensor model\.layers\.1\.mlp\.up_proj\.weight"):
        train(model, selection, tiny_scan, tmp_path)


def test_quantized_checkpoint_is_refused(tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_llama, model)
    config = {**read_json(model / "config.json"), "quantization_config": {"quant_method": "compressed-tensors"}}
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="quantized"):
        train(model, selection, tiny_scan, tmp_path)
