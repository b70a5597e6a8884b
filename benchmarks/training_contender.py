"""One contender of `training.py` in a process of its own: it trains, and writes its figures as JSON.

    python benchmarks/training_contender.py SETTINGS.json

A step ends when the optimizer has made its own, whoever's loop it is.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from storm_core.telemetry import disable_telemetry

disable_telemetry()

import torch  # noqa: E402 (after telemetry is off)
from torch.optim.optimizer import register_optimizer_step_post_hook  # noqa: E402


class StepEnd(NamedTuple):
    """When a step ended, by the clock and in time of processors, and the peak memory by then."""

    seconds: float
    processor_seconds: float
    peak_bytes: int


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    train = {"storm": train_with_storm, "trl": train_with_trl}[settings["trainer"]]
    Path(settings["result"]).write_text(json.dumps(measure(train, settings)), encoding="utf-8")


def measure(train: Callable[[dict[str, Any]], None], settings: dict[str, Any]) -> dict[str, Any]:
    """Seconds and steps of the second pass, peak memory and the device; of what ran out of memory, that."""
    with clock() as ends:
        try:
            train(settings)
        except torch.OutOfMemoryError:
            return {"failed": "out of memory"}
    # Two passes with the same number of steps.
    half = len(ends) // 2
    begin, end = ends[half - 1], ends[-1]
    return {
        "seconds": end.seconds - begin.seconds,
        "processor_seconds": end.processor_seconds - begin.processor_seconds,
        "steps": half,
        "peak_bytes": end.peak_bytes,
        "device": device_name(),
    }


@contextmanager
def clock() -> Iterator[list[StepEnd]]:
    """The ends of all steps that optimizers make."""
    ends: list[StepEnd] = []

    def note(*_: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        ends.append(StepEnd(time.monotonic(), time.process_time(), peak_bytes()))

    hook = register_optimizer_step_post_hook(note)
    try:
        yield ends
    finally:
        hook.remove()


def peak_bytes() -> int:
    """Of the GPU's memory where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    # Not getrusage, whose peak begins with that of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kilobytes) * 1024


def device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def train_with_storm(settings: dict[str, Any]) -> None:
    """`storm train` as a whole, with the options of the benchmark."""
    from storm_core.execution import execute  # noqa: PLC0415
    from storm_core.finetuning.config import TRAIN, TrainConfig  # noqa: PLC0415

    work = Path(settings["work"])
    execute(
        TRAIN,
        TrainConfig(**settings["options"]),
        inputs={
            "model": [settings["trained_model"]],
            "selection": [str(work / "selection")],
            "scan": [str(work / f"scan-{settings['scan']}")],
        },
        outputs={name: work / "trained" / name for name in ("tuned_model", "training")},
        value_files={},
    )


def train_with_trl(settings: dict[str, Any]) -> None:
    """TRL's trainer with its own defaults but for the batch and for what it writes and sends."""
    from datasets import Dataset  # noqa: PLC0415
    from trl.trainer.sft_config import SFTConfig  # noqa: PLC0415
    from trl.trainer.sft_trainer import SFTTrainer  # noqa: PLC0415

    work = Path(settings["work"])
    trainer = SFTTrainer(
        model=settings["trained_model"],
        args=SFTConfig(
            output_dir=str(work / "trained"),
            use_cpu=not torch.cuda.is_available(),
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            **settings["options"],
        ),
        train_dataset=Dataset.from_parquet(str(work / "messages.parquet")),
    )
    trainer.train()


if __name__ == "__main__":
    main()
