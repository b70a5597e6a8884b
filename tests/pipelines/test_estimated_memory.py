"""What `python -m pipelines estimate` says of memory, beside what was measured and what trainings here take."""

import contextlib
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from peak_memory import peak_megabytes

from pipelines.estimation.assumptions import Assumptions, Estimated
from pipelines.estimation.estimate import look_at
from pipelines.estimation.stages import libraries_of_training, needs_of
from pipelines.estimation.training import host_of_process
from pipelines.profiles.loading import load_profile
from storm_core.finetuning.memory import checkpoint_writing_bytes
from storm_core.finetuning.tokenization import tokenize
from storm_core.records import Example, Message, make_example, write_examples
from storm_core.spectrum.expected import expected_trained
from tests.finetuning.torchrun import start
from tests.pipelines.estimating import write_recipe

ROOT = Path(__file__).parents[2]
# `storm` in each process of torchrun, which leaves its peak: the kernel's own, that no parent adds to.
PROGRAM = """
import os, sys
from pathlib import Path
from storm_core.cli import main

code = main(sys.argv[2:])
status = Path("/proc/self/status").read_text()
Path(sys.argv[1], os.environ["RANK"]).write_text(status.partition("VmHWM:")[2].split()[0])
sys.exit(code)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_directory: Path) -> tuple[Path, int]:
    """A directory with a model and a selection, and how many tokens the longest example has."""
    directory = tmp_path_factory.mktemp("trained")
    model, examples = make_model(directory / "model", tiny_tokenizer_directory)
    (directory / "selection").mkdir()
    for split, kept in (("train", examples), ("validation", examples[:1])):
        write_examples(directory / "selection" / f"{split}.parquet", kept)
    return directory, max(token_counts(model, examples))


def demo_peaks() -> dict[str, float]:
    """Peak bytes that the demo's stages had, as the profile for it says."""
    text = (ROOT / "pipelines" / "profiles" / "laptop-kind.yaml").read_text(encoding="utf-8")
    found = re.findall(r"^  (\w+): \{.*\} # .*?, (\d+)(?: MB)?$", text, re.M)
    return {verb: 1e6 * float(megabytes) for verb, megabytes in found}


@pytest.fixture(scope="module")
def demo() -> Estimated:
    with contextlib.chdir(ROOT):
        return look_at(ROOT / "recipes" / "smoke.yaml", load_profile("laptop-kind"), Assumptions())


@pytest.mark.parametrize("verb", ["fetch", "score", "audit", "scan", "train", "merge", "quantize", "evaluate"])
def test_memory_of_the_demo_is_what_was_measured_within_15_percent(verb: str, demo: Estimated) -> None:
    # The demo's training ends before a checkpoint is due.
    unwritten = checkpoint_writing_bytes(demo.trained_count) if verb == "train" else 0
    assert (needs_of(verb, demo).host or 0) - unwritten == pytest.approx(demo_peaks()[verb], rel=0.15)


@pytest.mark.nightly
@pytest.mark.parametrize("percent", [25.0, 75.0])
def test_memory_of_a_training_is_what_it_takes_within_15_percent(
    percent: float, trained: tuple[Path, int], tmp_path: Path
) -> None:
    directory, longest = trained
    run = look(tmp_path, directory, scan_unfrozen_percent=percent, train_batch_size=4, train_max_length=longest)
    command = [*train(directory, tmp_path, run), "--batch-size", "4", "--max-length", str(longest)]
    measured = peak_megabytes([sys.executable, "-m", "storm_core.cli", *command]) * 1024 * 1024
    assert needs_of("train", run).host == pytest.approx(measured, rel=0.15)


@pytest.mark.nightly
@pytest.mark.parametrize("sharding", ["full", "none"])
def test_memory_of_each_of_two_processes_is_what_it_takes_within_15_percent(
    sharding: str, trained: tuple[Path, int], tmp_path: Path
) -> None:
    directory, longest = trained
    profile = tmp_path / "two.yaml"
    profile.write_text("training_nodes: {count: 2}\n")
    batches = {"train_batch_size": 2, "train_max_length": longest, "train_sharding": sharding}
    run = look(tmp_path, directory, str(profile), scan_unfrozen_percent=75.0, **batches)
    program, peaks = tmp_path / "program.py", tmp_path / "peaks"
    program.write_text(PROGRAM)
    peaks.mkdir()
    command = [*train(directory, tmp_path, run), "--batch-size", "2", "--max-length", str(longest)]
    several = ["--sharding", sharding, "--gradient-accumulation-steps", "2"]
    # Of what is put together for a layer and let go again, glibc keeps pieces below 32 MB; a larger model has none.
    process = start(2, [str(program), str(peaks), *command, *several], MALLOC_MMAP_THRESHOLD_=str(1 << 18))
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    measured = [1024 * int(peak.read_text()) for peak in peaks.iterdir()]
    assert measured == pytest.approx([host_of_process(run, libraries_of_training(run))] * 2, rel=0.15)


def look(scratch: Path, directory: Path, profile: str = "laptop-kind", **arguments: Any) -> Estimated:
    """A run that trains the model in `directory`."""
    return look_at(write_recipe(scratch, directory / "model", **arguments), load_profile(profile), Assumptions())


def train(directory: Path, scratch: Path, run: Estimated) -> list[str]:
    """`storm train` of the run, two updates with a checkpoint after each."""
    scan = scratch / "scan"
    scan.mkdir()
    names = expected_trained(run.shapes, run.values["scan_unfrozen_percent"])
    patterns = [f"^{re.escape(name)}$" for name in sorted(names)]
    (scan / "unfrozen_parameters.yaml").write_text(yaml.safe_dump({"unfrozen_parameters": patterns}))
    inputs = ["--model", str(directory / "model"), "--selection", str(directory / "selection"), "--scan", str(scan)]
    outputs = ["--tuned-model", str(scratch / "tuned"), "--training", str(scratch / "training")]
    options = ["--epochs", "1", "--evaluations", "1", "--checkpoint-steps", "1", "--dtype", "bfloat16"]
    return ["train", *inputs, *outputs, *options]


def make_model(directory: Path, tokenizer_directory: Path) -> tuple[Path, list[Example]]:
    """A Llama of 51 million parameters, and examples of some 250 tokens each."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=512,
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=8,
        num_attention_heads=12,
        num_key_value_heads=4,
        tie_word_embeddings=True,
    )
    model: Any = LlamaForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(directory)
    for file in tokenizer_directory.iterdir():
        shutil.copy(file, directory)
    turns = [(f"{number}?", "The lazy dog is hard to learn. " * 20) for number in range(8)]
    return directory, [
        make_example("test", [Message(role="user", content=asked), Message(role="assistant", content=said)])
        for asked, said in turns
    ]


def token_counts(model: Path, examples: list[Example]) -> list[int]:
    from storm_core.checkpoints.loading import load_tokenizer

    tokenizer = load_tokenizer(model)
    return [len(tokenize(example, tokenizer).input_ids) for example in examples]
