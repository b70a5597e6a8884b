"""`python -m pipelines estimate`: what its table says, and what it does not know."""

import json
import re
from pathlib import Path

import pytest

from pipelines.__main__ import main
from storm_core.cli import main as storm
from tests.pipelines.estimating import write_recipe

LLAMA_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}


@pytest.fixture
def llama_8b(tmp_path: Path) -> Path:
    """A directory with the config.json of an 8B model and no weights."""
    directory = tmp_path / "llama"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(LLAMA_8B))
    return directory


def estimate(recipe: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[dict[str, list[str]], str]:
    """The cells of the first table by stage, and all that was printed."""
    capsys.readouterr()
    assert main(["estimate", "--recipe", str(recipe), *flags]) == 0
    out = capsys.readouterr().out
    lines = [re.split(r"  +", line) for line in out.partition("Measured")[0].splitlines()]
    return {cells[0]: cells[1:] for cells in lines if len(cells) == 7}, out


def test_checkpoint_is_12_bytes_for_each_trained_parameter(
    llama_8b: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half, out = estimate(write_recipe(tmp_path, llama_8b), capsys, "--profile", "h100-node")
    assert "8.03e9 parameters, 4.54e9 trained" in out
    assert half["train"][4] == "54 GB"
    quarter, _ = estimate(write_recipe(tmp_path, llama_8b, scan_unfrozen_percent=25.0), capsys)
    assert quarter["train"][4] == "34 GB"
    assert quarter["merge"] == half["merge"]


def test_profile_decides_whether_memory_is_a_devices(
    llama_8b: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path, llama_8b)
    on_cpu, _ = estimate(recipe, capsys, "--profile", "laptop-kind")
    on_gpu, _ = estimate(recipe, capsys, "--profile", "h100-node")
    for verb in ("score", "train", "evaluate"):
        assert on_cpu[verb][1] == on_cpu[verb][5] == "none"
        assert on_gpu[verb][1].endswith("GB")
    assert on_gpu["merge"][1] == "none"


def test_training_by_several_processes_is_told_by_process_and_by_pod(
    llama_8b: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "nodes.yaml"
    profile.write_text("training_nodes: {count: 2, accelerator: {nvidia.com/gpu: 8}}\n")
    table, out = estimate(write_recipe(tmp_path, llama_8b, train_sharding="full"), capsys, "--profile", str(profile))
    told = re.search(r"train: 2 x 8 processes, each with a share .*: (\d+) GB of device memory and ([\d.]+) GB", out)
    assert told
    assert table["train"][1] == f"{told[1]} GB"
    # And torchrun, which starts them.
    assert float(table["train"][2].split()[0]) == pytest.approx(8 * float(told[2]), abs=0.3 + 8 * 0.5)
    copies, _ = estimate(write_recipe(tmp_path, llama_8b), capsys, "--profile", str(profile))
    # Of a copy each process loads 48.2 GB in float32 and writes checkpoints of 54.5 GB, with CUDA in 3 GB.
    assert float(copies["train"][2].split()[0]) == pytest.approx(8 * (54.5 + 0.27 + 3) + 0.3, rel=0.01)
    assert float(told[1]) < 0.5 * float(copies["train"][1].split()[0])


def test_devices_of_a_task_each_have_a_process(
    llama_8b: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "four.yaml"
    profile.write_text("tasks: {train: {image: cuda, accelerator: {nvidia.com/gpu: 4}}}\n")
    _, out = estimate(write_recipe(tmp_path, llama_8b), capsys, "--profile", str(profile))
    assert "train: 1 x 4 processes, each with a copy of the model (train_sharding=none)" in out
    _, out = estimate(write_recipe(tmp_path, llama_8b), capsys, "--profile", "one-gpu")
    assert "processes, each" not in out


def test_gpu_hours_are_known_once_examples_and_their_length_are_assumed(
    llama_8b: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path, llama_8b, train_epochs=4.0)
    flags = ["--profile", "h100-node", "--tokens-per-example", "600"]
    unknown, out = estimate(recipe, capsys, *flags)
    assert unknown["train"][5] == unknown["score"][5] == unknown["evaluate"][5] == "not known"
    assert "GPU-hours want --rows, --train-examples" in out
    known, out = estimate(recipe, capsys, *flags, "--rows", "2800000", "--train-examples", "960000")
    # Of 2 operations a weight and token forwards and on the way down, and for half the matrices their gradients.
    per_token = (2 * 2 * 7.5e9 + 2 * 4.0e9) * 1.02
    assert float(known["train"][5]) == pytest.approx(4 * 960_000 * 600 * per_token / (0.37 * 989.4e12) / 3600, rel=0.03)
    assert float(known["score"][5]) == pytest.approx(2_800_000 * 600 * 2 * 7.0e9 / (0.37 * 989.4e12) / 3600, rel=0.05)
    assert "an MFU of 0.37" in out and "GPU-hours want" not in out
    faster, _ = estimate(recipe, capsys, *flags, "--train-examples", "960000", "--mfu", "0.74")
    assert float(faster["train"][5]) == pytest.approx(float(known["train"][5]) / 2, rel=0.02)


def test_gpu_without_a_known_peak_has_no_hours(
    llama_8b: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--profile", "one-gpu", "--tokens-per-example", "600", "--train-examples", "9", "--rows", "9"]
    table, out = estimate(write_recipe(tmp_path, llama_8b), capsys, *flags)
    assert table["train"][5] == "not known"
    assert "GPU-hours want a profile whose gpu_products of train are GPUs of known peak" in out


def test_what_was_measured_stands_apart_and_the_rest_reads_not_measured(
    llama_8b: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "measured.yaml"
    profile.write_text("tasks: {evaluate: {image: cuda, accelerator: {nvidia.com/gpu: 2}, measured_hours: 0.5}}\n")
    _, out = estimate(write_recipe(tmp_path, llama_8b), capsys, "--profile", str(profile))
    measured = [re.split(r"  +", line) for line in out.partition("Measured")[2].splitlines()[2:]]
    rows = {cells[0]: cells[1:] for cells in measured}
    assert rows.pop("evaluate") == ["0.5", "5.0"]
    assert len(rows) == 12
    assert all(cells == ["not measured", "not measured"] for cells in rows.values())


def test_config_of_a_model_in_a_store_is_fetched_alone(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    assert storm(["artifact", "push", str(tiny_llama), f"file://{store}", "--kind", "model"]) == 0
    (directory,) = (store / "model").iterdir()
    (directory / "model.safetensors").unlink()
    table, _ = estimate(write_recipe(tmp_path, f"file://{directory}"), capsys)
    assert table["train"][3].endswith("MB")


@pytest.mark.parametrize(
    ("model", "flags", "message"),
    [
        ("hf://meta-llama/Llama-3.1-8B-Instruct@main", [], "on a hub, of which nothing is read here"),
        ("models/none", [], "no config.json in models/none"),
        ("other", [], "is of model_type 'gemma2'"),
        ("llama", ["--mfu", "1.5"], "--mfu must be above 0 and at most 1, got 1.5"),
        ("llama", ["--train-examples", "0"], "--train-examples must be at least 1, got 0"),
        ("llama", ["--profile", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_estimated_is_refused_in_one_line(
    model: str,
    flags: list[str],
    message: str,
    llama_8b: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps({**LLAMA_8B, "model_type": "gemma2"}))
    assert main(["estimate", "--recipe", str(write_recipe(tmp_path, model)), *flags]) == 1
    error = capsys.readouterr().err
    assert error.startswith("python -m pipelines estimate: error: ") and error.count("\n") == 1
    assert message in error
