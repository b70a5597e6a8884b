"""A model that is loaded by shares is the one that is loaded whole, to the bit."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from storm_core.checkpoints.checkpoint import open_checkpoint
from storm_core.checkpoints.loading import load_model
from storm_core.finetuning.freezing import unfreeze
from storm_core.finetuning.precision import hold_frozen_in_bfloat16
from tests.finetuning.torchrun import start

PATTERNS = ["model.embed_tokens", "model.layers.1.mlp", "model.norm"]
# Each process writes what it holds once the shares are put together, and how much of it was its own.
PROGRAM = """
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from storm_core.checkpoints.checkpoint import open_checkpoint
from storm_core.finetuning.config import TrainConfig
from storm_core.finetuning.freezing import unfreeze
from storm_core.finetuning.flat_examples import FlatExamples
from storm_core.finetuning.learner import Learner
from storm_core.finetuning.precision import hold_frozen_in_bfloat16
from storm_core.finetuning.sharding import whole
from storm_core.finetuning.shares import model_to_share

dist.init_process_group("gloo")
source, output, patterns = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
checkpoint = open_checkpoint(source)
model = model_to_share(checkpoint)
assert all(parameter.is_meta for parameter in model.parameters())
unfreeze(model, patterns, source)
hold_frozen_in_bfloat16(model, checkpoint)
Learner(model, FlatExamples.of([]), 0, TrainConfig(sharding="full", dtype="float32"), checkpoint)
named = dict(model.named_parameters())
own = sum(parameter.to_local().numel() for parameter in named.values())
assert own < 0.6 * sum(parameter.numel() for parameter in named.values()), own
weights = {name: (whole(parameter.detach()), parameter.requires_grad) for name, parameter in named.items()}
buffers = {name: (buffer, False) for name, buffer in model.named_buffers()}
torch.save({**weights, **buffers}, output / f"{dist.get_rank()}.pt")
dist.destroy_process_group()
"""


def held(source: Path) -> dict[str, tuple[Tensor, bool]]:
    """Every weight and buffer, and whether it is trained, of the model that is loaded whole."""
    model: Any = load_model(source, torch.float32)
    unfreeze(model, PATTERNS, source)
    hold_frozen_in_bfloat16(model, open_checkpoint(source))
    named = {name: (parameter.detach(), parameter.requires_grad) for name, parameter in model.named_parameters()}
    return {**named, **{name: (buffer, False) for name, buffer in model.named_buffers()}}


@pytest.fixture
def stored_twice(tiny_llama: Path, tmp_path: Path) -> Path:
    """A model whose file has the tied embedding under the head's name too."""
    twice = tmp_path / "twice"
    shutil.copytree(tiny_llama, twice)
    weights = load_file(twice / "model.safetensors")
    head = weights["model.embed_tokens.weight"].clone()
    save_file({**weights, "lm_head.weight": head}, twice / "model.safetensors", metadata={"format": "pt"})
    return twice


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "model"), [(2, "tiny_llama"), (3, "stored_twice")])
def test_shares_put_together_are_the_model_loaded_whole(
    processes: int, model: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source: Path = request.getfixturevalue(model)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    process = start(processes, [str(program), str(source), str(tmp_path), *PATTERNS])
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    expected = held(source)
    assert {weight.dtype for weight, _ in expected.values()} == {torch.float32, torch.bfloat16}
    for rank in range(processes):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found.keys() == expected.keys()
        for name, (weight, trained) in expected.items():
            assert found[name][0].dtype == weight.dtype, name
            assert found[name][0].equal(weight), name
            assert found[name][1] == trained, name
