import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from storm_core import cli
from storm_core.artifacts import open_directory
from storm_core.checkpoints.checkpoint import open_checkpoint
from storm_core.checkpoints.loading import load_model, load_tokenizer
from storm_core.errors import InputError
from storm_core.execution import Outcome, execute
from storm_core.merging.config import MERGE, MergeConfig

HALF_WAY_ATTENTION = "model.layers.0.self_attn.q_proj.weight"


def merge(base: Path, other: Path, output: Path, **options: float) -> Outcome:
    return execute(
        MERGE,
        MergeConfig(**options),
        inputs={"base_model": [str(base)], "other_model": [str(other)]},
        outputs={"merged_model": output},
        value_files={},
    )


def tensors_of(model: Path) -> dict[str, torch.Tensor]:
    return load_file(model / "model.safetensors")


@pytest.mark.parametrize(("t", "which"), [(0.0, 0), (1.0, 1)])
def test_at_an_end_the_merged_model_is_that_parent(
    tiny_llama: Path, other_tiny_llama: Path, tmp_path: Path, t: float, which: int
) -> None:
    merge(tiny_llama, other_tiny_llama, tmp_path / "merged", t=t)
    parent, merged = tensors_of((tiny_llama, other_tiny_llama)[which]), tensors_of(tmp_path / "merged")
    assert parent.keys() == merged.keys()
    assert all(torch.equal(parent[name], merged[name]) for name in parent)


def test_half_way_every_matrix_lies_between_its_parents(
    tiny_llama: Path, other_tiny_llama: Path, tmp_path: Path
) -> None:
    outcome = merge(tiny_llama, other_tiny_llama, tmp_path / "merged")
    a, b = (tensors_of(model)[HALF_WAY_ATTENTION].double() for model in (tiny_llama, other_tiny_llama))
    merged = tensors_of(tmp_path / "merged")[HALF_WAY_ATTENTION].double()
    to_a, to_b = (torch.cosine_similarity(merged.flatten(), side.flatten(), dim=0) for side in (a, b))
    assert to_a.item() == pytest.approx(to_b.item(), abs=0.02)
    # Parents at right angles leave 45 degrees to each, and the length that an average would lose.
    assert to_a.item() == pytest.approx(0.707, abs=0.02)
    assert merged.norm().item() == pytest.approx(a.norm().item(), rel=0.05)
    assert outcome.metrics["mean_angle_degrees"] == pytest.approx(90 * 15 / 20, abs=2)


def test_metrics_say_how_each_tensor_was_merged(tiny_llama: Path, other_tiny_llama: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(other_tiny_llama, tmp_path / "other"))
    tensors = tensors_of(other)
    tensors["model.norm.weight"] *= 2
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    metrics = merge(tiny_llama, other, tmp_path / "merged").metrics
    # Both models' norms are ones: four of five are identical, the last differs in length alone.
    assert metrics["tensors"] == 20
    assert metrics["tensors_identical"] == 4
    assert metrics["tensors_linear"] == 1
    assert metrics["tensors_spherical"] == 15
    assert torch.equal(tensors_of(tmp_path / "merged")["model.norm.weight"], torch.full((64,), 1.5).bfloat16())


def test_the_merged_model_loads_with_tokenizer_and_template_of_the_base_model(
    tiny_llama: Path, other_tiny_llama: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(other_tiny_llama, tmp_path / "other"))
    (other / "chat_template.jinja").write_text("another template")
    merge(tiny_llama, other, tmp_path / "merged")
    assert load_tokenizer(tmp_path / "merged").chat_template == load_tokenizer(tiny_llama).chat_template
    model = load_model(tmp_path / "merged", torch.bfloat16)
    assert model(torch.tensor([[1, 2, 3]])).logits.isfinite().all()
    assert {info.dtype for info in open_checkpoint(tmp_path / "merged").tensors.values()} == {"BF16"}


def test_merging_twice_gives_the_same_bytes(tiny_llama: Path, other_tiny_llama: Path, tmp_path: Path) -> None:
    for name in ("once", "again"):
        merge(tiny_llama, other_tiny_llama, tmp_path / name, t=0.3)
    assert open_directory(tmp_path / "once").digest == open_directory(tmp_path / "again").digest


def test_opposite_tensors_stop_the_merge_with_their_name(tiny_llama: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(tiny_llama, tmp_path / "other"))
    tensors = tensors_of(other)
    tensors["model.norm.weight"] *= -1
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"tensor 'model.norm.weight' of .* opposite directions"):
        merge(tiny_llama, other, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_from_the_command_line(tiny_llama: Path, other_tiny_llama: Path, tmp_path: Path) -> None:
    models = ["--base-model", str(tiny_llama), "--other-model", str(other_tiny_llama)]
    assert cli.main(["merge", *models, "--t", "0.25", "--merged-model", str(tmp_path / "merged")]) == 0
    assert open_directory(tmp_path / "merged").manifest.producer["config"] == {"t": 0.25}


def test_models_of_different_shapes_give_one_line_and_no_output(
    tiny_llama: Path, tiny_tokenizer_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    wide = tmp_path / "wide"
    config = LlamaConfig.from_pretrained(tiny_llama, hidden_size=128, intermediate_size=128, head_dim=16)
    model: Any = LlamaForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(wide)
    shutil.copytree(tiny_tokenizer_directory, wide, dirs_exist_ok=True)
    capsys.readouterr()
    models = ["--base-model", str(tiny_llama), "--other-model", str(wide)]
    assert cli.main(["merge", *models, "--merged-model", str(tmp_path / "merged")]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("storm merge: starts")]
    assert len(lines) == 1
    assert "has shape" in lines[0]
    assert str(tiny_llama) in lines[0]
    assert str(wide) in lines[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wide"]


@pytest.mark.parametrize("t", ["-0.1", "1.5", "nan"])
def test_a_fraction_outside_the_arc_is_refused(t: str, tiny_llama: Path, tmp_path: Path) -> None:
    models = ["--base-model", str(tiny_llama), "--other-model", str(tiny_llama)]
    assert cli.main(["merge", *models, "--t", t, "--merged-model", str(tmp_path / "merged")]) == 1
    assert not (tmp_path / "merged").exists()
