"""Training all weights, Spectrum's half and its quarter, and TRL with its own defaults, on the same examples.

    python benchmarks/training.py --model runs/smollm2 [--smoke]
    python benchmarks/training.py --model runs/smollm2 --random-llama-8b --max-length 8192 --gradient-checkpointing

Each contender trains in a process of its own, in turn, two passes of which the second counts: padded, and packed into
sequences of `--max-length`. On a GPU the second command trains Llama-3.1-8B's shapes with random weights, on text of
the model's tokenizer, and shows MFU besides: model FLOPs, none for frozen weights' gradients or recomputation, over the
GPU's peak. That part was written without a GPU and has not been run on one.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storm_core.finetuning.model_flops import peak_flops_per_second

HERE = Path(__file__).parent
PERCENTS = {"full": 100.0, "Spectrum-50": 50.0, "Spectrum-25": 25.0}
# As many as `training_inputs.SHARES` has; that module loads torch.
EXAMPLES_A_SEQUENCE = 4
NOT_MEASURED = "not measured"
Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Who trains what; `scan` is a key of `PERCENTS`."""

    trainer: str
    scan: str
    is_packed: bool

    @property
    def name(self) -> str:
        """As the table has it."""
        who = "TRL's defaults" if self.trainer == "trl" else self.scan
        return f"{who}, {'packed' if self.is_packed else 'padded'}"


def main() -> None:
    options = parse_options()
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        settings = shared_settings(options, Path(scratch))
        made = run_script("training_inputs.py", settings)
        runs: dict[Contender, list[Figures]] = {one: [] for one in contenders(smoke=options.smoke)}
        for repeat in range(options.repeats):
            for contender, done in runs.items():
                figures = run_script("training_contender.py", settings | own_settings(contender, settings))
                done.append(figures)
                print(f"{repeat + 1} of {options.repeats}: {contender.name}: {figures}", file=sys.stderr)
    print(*table(runs, made), sep="\n")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure training steps beside TRL's.")
    parser.add_argument("--model", type=Path, required=True, help="model directory to train, or of the tokenizer")
    parser.add_argument("--random-llama-8b", action="store_true", help="train Llama-3.1-8B's shapes; wants a GPU")
    parser.add_argument("--max-length", type=int, default=512, help="tokens of a packed sequence (default 512)")
    parser.add_argument("--sequences", type=int, default=1, help="packed sequences a step (default 1)")
    parser.add_argument("--steps", type=int, default=3, help="steps of a pass (default 3)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each contender (default 3)")
    parser.add_argument("--gradient-checkpointing", action="store_true", help="for ours; TRL's default is that")
    parser.add_argument("--scratch", type=Path, help="where models are written (default: the system's)")
    parser.add_argument("--smoke", action="store_true", help="Spectrum-50 and TRL, one step of 256 tokens, once")
    options = parser.parse_args()
    if options.smoke:
        options.max_length, options.steps, options.repeats = 256, 1, 1
    return options


def contenders(*, smoke: bool) -> list[Contender]:
    scans = ["Spectrum-50"] if smoke else list(PERCENTS)
    ours = [Contender(trainer="storm", scan=scan, is_packed=packed) for scan in scans for packed in (False, True)]
    return [*ours, *(Contender(trainer="trl", scan="full", is_packed=packed) for packed in (False, True))]


def shared_settings(options: argparse.Namespace, work: Path) -> Figures:
    return {
        "work": str(work),
        "result": str(work / "result.json"),
        "model": str(options.model),
        "trained_model": str(work / "model" if options.random_llama_8b else options.model),
        "random_llama_8b": options.random_llama_8b,
        "max_length": options.max_length,
        "sequences": options.sequences,
        "steps": options.steps,
        "percents": PERCENTS,
        "gradient_checkpointing": options.gradient_checkpointing,
    }


def own_settings(contender: Contender, settings: Figures) -> Figures:
    """What a process is told besides: as many tokens a step, packed or not."""
    examples = settings["sequences"] * EXAMPLES_A_SEQUENCE
    batch = settings["sequences"] if contender.is_packed else examples
    chosen: Figures = {"max_length": settings["max_length"], "packing": contender.is_packed}
    if contender.trainer == "trl":
        chosen |= {"per_device_train_batch_size": batch, "num_train_epochs": 2}
    else:
        chosen |= {"batch_size": batch, "epochs": 2.0, "evaluations": 1}
        chosen |= {"gradient_checkpointing": settings["gradient_checkpointing"]}
    return {"trainer": contender.trainer, "scan": contender.scan, "options": chosen}


def run_script(name: str, settings: Figures) -> Figures:
    """What a script beside this one leaves as its result; none of the caller's stores and servers takes part."""
    work, result = Path(settings["work"]), Path(settings["result"])
    shutil.rmtree(work / "trained", ignore_errors=True)
    result.unlink(missing_ok=True)
    (work / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("STORM_", "MLFLOW_"))}
    command = [sys.executable, str(HERE / name), str(work / "settings.json")]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if finished.returncode or not result.is_file():
        sys.exit(f"{name} failed with {finished.returncode}:\n{finished.stderr[-3000:]}")
    figures: Figures = json.loads(result.read_text(encoding="utf-8"))
    return figures


def table(runs: Mapping[Contender, list[Figures]], made: Figures) -> Iterator[str]:
    """A Markdown table: medians of the runs, and the highest peak; a contender without a run reads "not measured"."""
    devices = {one["device"] for figures in runs.values() for one in figures if "device" in one}
    peak = peak_flops_per_second(next(iter(devices))) if len(devices) == 1 else None
    yield f"{', '.join(sorted(devices))}; {made['tokens']} tokens a pass"
    yield ""
    yield "| | s a step | processor s a step | tokens/s | peak MB | MFU | MFU, attention as a square |"
    yield "|---|---|---|---|---|---|---|"
    for contender, figures in runs.items():
        yield f"| {contender.name} | {' | '.join(cells(contender, figures, made, peak))} |"


def cells(contender: Contender, runs: list[Figures], made: Figures, peak: float | None) -> list[str]:
    failed = next((one["failed"] for one in runs if "failed" in one), None)
    if failed or not runs:
        return [failed or NOT_MEASURED, *[NOT_MEASURED] * 5]
    seconds, processors = (statistics.median(one[clock] for one in runs) for clock in ("seconds", "processor_seconds"))
    steps = runs[0]["steps"]
    megabytes = max(one["peak_bytes"] for one in runs) / 1e6
    shares = [f"{flops / seconds / peak:.1%}" if peak else NOT_MEASURED for flops in made["flops"][contender.scan]]
    figures = [f"{seconds / steps:.2f}", f"{processors / steps:.2f}", f"{made['tokens'] / seconds:.0f}"]
    return [*figures, f"{megabytes:.0f}", *shares]


if __name__ == "__main__":
    main()
