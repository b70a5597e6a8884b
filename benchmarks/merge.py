"""`storm merge` beside `mergekit-yaml`: wall time, peak memory, and how far the results are apart.

    python benchmarks/merge.py --model runs/smoke/artifacts/model --peer-python .venv-peers/bin/python [--smoke]

The second parent is the model with noise of four strengths, so that tensors are merged on arcs, on lines, and copied.
`benchmarks/requirements-peers.txt` says how to install mergekit.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from storm_core.telemetry import disable_telemetry

if TYPE_CHECKING:
    from torch import Tensor

    from storm_core.checkpoints.checkpoint import Checkpoint

# Noise added to every fourth tensor in turn, relative to the tensor's own standard deviation.
NOISE = (0.0, 0.02, 0.3, 1.0)
SMOKE_LAYERS = 2


def main() -> None:
    disable_telemetry()
    options = parse_options()
    with (
        tempfile.TemporaryDirectory() as scratch,
        # torch stays out of this process: a child's peak memory starts at its parent's.
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as helper,
    ):
        work = Path(scratch)
        layers = SMOKE_LAYERS if options.smoke else None
        helper.submit(make_parents, options.model, work, layers).result()
        ours, theirs = work / "ours", work / "theirs"
        contenders = {
            "storm merge": (storm_command(work, ours), ours),
            "mergekit-yaml": (mergekit_command(work, theirs, options.peer_python), theirs),
        }
        print(f"{'':16}{'wall s (median)':>18}{'peak MB':>12}")
        for name, (command, output) in contenders.items():
            runs = [measure(command, output) for _ in range(options.repeats)]
            seconds, megabytes = statistics.median(run[0] for run in runs), max(run[1] for run in runs)
            print(f"{name:16}{seconds:18.1f}{megabytes:12.0f}")
        difference, share = helper.submit(compare, ours, theirs).result()
        print(f"largest absolute difference {difference:.3g}; {share:.4%} of the weights differ")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure `storm merge` beside `mergekit-yaml`.")
    parser.add_argument("--model", type=Path, required=True, help="model directory to derive both parents from")
    parser.add_argument("--peer-python", type=Path, required=True, help="Python of an environment with mergekit")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--smoke", action="store_true", help=f"use the first {SMOKE_LAYERS} layers only")
    return parser.parse_args()


def make_parents(model: Path, work: Path, layers: int | None) -> None:
    from storm_core.checkpoints.checkpoint import open_checkpoint, write_checkpoint  # noqa: PLC0415

    checkpoint = open_checkpoint(model)
    changes = {"num_hidden_layers": layers} if layers else {}
    for name, strengths in (("base", (0.0,)), ("other", NOISE)):
        (work / name).mkdir()
        write_checkpoint(
            work / name, noisy_tensors(checkpoint, layers, strengths), source=model, config_changes=changes
        )


def noisy_tensors(
    checkpoint: "Checkpoint", layers: int | None, strengths: tuple[float, ...]
) -> "Iterator[tuple[str, Tensor]]":
    import torch  # noqa: PLC0415

    generator = torch.Generator().manual_seed(0)
    kept = [name for name in checkpoint.tensors if layers is None or layer_of(name) < layers]
    for position, name in enumerate(kept):
        tensor = checkpoint.load(name)
        exact = tensor.to(torch.float32)
        strength = strengths[position % len(strengths)] * exact.std()
        yield name, (exact + strength * torch.randn(exact.shape, generator=generator)).to(tensor.dtype)


def layer_of(name: str) -> int:
    """Number of the layer that a tensor belongs to, -1 outside the layers."""
    return next((int(part) for part in name.split(".") if part.isdigit()), -1)


def storm_command(work: Path, output: Path) -> list[str]:
    parents = ["--base-model", str(work / "base"), "--other-model", str(work / "other")]
    return [sys.executable, "-m", "storm_core.cli", "merge", *parents, "--merged-model", str(output)]


def mergekit_command(work: Path, output: Path, python: Path) -> list[str]:
    parents = [{"model": str(work / name)} for name in ("base", "other")]
    recipe = {"models": parents, "base_model": str(work / "base"), "merge_method": "slerp", "dtype": "bfloat16"}
    # YAML takes JSON as it is.
    (work / "mergekit.yaml").write_text(json.dumps({**recipe, "parameters": {"t": 0.5}}))
    # Not resolved: the interpreter of a virtual environment is a link out of it.
    tool = python.absolute().with_name("mergekit-yaml")
    return [str(tool), str(work / "mergekit.yaml"), str(output), "--quiet"]


def measure(command: list[str], output: Path) -> tuple[float, float]:
    """Wall time in seconds and peak resident memory in MB of one run, which starts with no earlier result."""
    shutil.rmtree(output, ignore_errors=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("STORM_", "MLFLOW_"))}
    started = time.monotonic()
    log_file = output.with_suffix(".log")
    with log_file.open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{log_file.read_text()}")
    return time.monotonic() - started, usage.ru_maxrss / 1024


def compare(ours: Path, theirs: Path) -> tuple[float, float]:
    """Largest absolute difference between two checkpoints' weights, and the share of weights that differ."""
    from storm_core.checkpoints.checkpoint import open_checkpoint  # noqa: PLC0415

    first, second = open_checkpoint(ours), open_checkpoint(theirs)
    if first.tensors.keys() != second.tensors.keys():
        sys.exit(f"the tensors differ: {sorted(first.tensors.keys() ^ second.tensors.keys())}")
    largest, differing, total = 0.0, 0, 0
    for name in first.tensors:
        difference = (first.load(name).double() - second.load(name).double()).abs()
        largest = max(largest, difference.max().item())
        differing += int(difference.count_nonzero())
        total += difference.numel()
    return largest, differing / total


if __name__ == "__main__":
    main()
