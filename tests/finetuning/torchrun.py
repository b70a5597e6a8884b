"""Trainings by several processes, as torchrun starts them: several in one start, as that takes most of the time."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# What `storm train` does in each process, for each of the trainings named on the command line.
PROGRAM = """
import json, sys
from pathlib import Path
import torch.distributed as dist
from storm_core import processes
from storm_core.execution import execute
from storm_core.finetuning.config import TRAIN, TrainConfig
from storm_core.taking_part import take_part

dist.init_process_group("gloo")
inputs, trainings = json.loads(sys.argv[1]), json.loads(sys.argv[2])
for directory, options in trainings.items():
    outputs = {name: Path(directory) / name for name in TRAIN.outputs}
    if processes.is_main():
        execute(TRAIN, TrainConfig(**options), inputs, outputs, {})
    else:
        take_part(TRAIN, TrainConfig(**options), inputs, outputs)
dist.destroy_process_group()
"""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}


def start(processes: int, command: list[str], **variables: str) -> "subprocess.Popen[str]":
    """Have torchrun start `command`, the arguments of `python`, in so many processes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.Popen(
        [*torchrun, *command],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **ENVIRONMENT, **variables},
    )


def train_together(
    processes: int, inputs: Mapping[str, list[str]], trainings: Mapping[Path, Mapping[str, Any]], scratch: Path
) -> str:
    """Train each of the trainings, its options by the directory of its outputs; returns standard error."""
    program = scratch / "program.py"
    program.write_text(PROGRAM)
    named = {str(directory): options for directory, options in trainings.items()}
    process = start(processes, [str(program), json.dumps(inputs), json.dumps(named)])
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return errors
