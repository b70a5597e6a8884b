"""What it costs to write down what a kill would lose: its share of the time to train, to score and to evaluate.

    python benchmarks/survival.py --model runs/smollm2 [--smoke]
    python benchmarks/survival.py --model runs/smollm2 --stages train --epochs 4

Each stage runs once, with a SeaweedFS server on this machine as its store. The writes are timed within the run, the
saving of the trainer included, and set beside the whole of it: two runs would differ by more than the writes take.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from importlib.resources import files
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from storm_core.telemetry import disable_telemetry  # noqa: E402 (found only with the root on the path)

disable_telemetry()

import boto3  # noqa: E402
import yaml  # noqa: E402

from pipelines.s3_server import S3Server  # noqa: E402
from storm_core.config import StageConfig  # noqa: E402
from storm_core.evaluation.config import EVALUATE, EvaluateConfig  # noqa: E402
from storm_core.execution import execute  # noqa: E402
from storm_core.finetuning.checkpoint_writer import CheckpointWriter  # noqa: E402
from storm_core.finetuning.config import TRAIN, TrainConfig  # noqa: E402
from storm_core.judging.config import SCORE, ScoreConfig  # noqa: E402
from storm_core.pacing import MAX_SHARE, Pace  # noqa: E402
from storm_core.records import read_examples, write_examples  # noqa: E402
from storm_core.sources.config import PREPARE, PrepareConfig  # noqa: E402
from storm_core.stage import Stage  # noqa: E402
from storm_core.stores.references import open_reference  # noqa: E402
from storm_core.stores.s3_partial_results import S3PartialResults  # noqa: E402
from storm_core.yaml_documents import read_yaml  # noqa: E402

BUCKET = "benchmark"
VALIDATION_EXAMPLES = 8
FULL_EXAMPLES, SMOKE_EXAMPLES = 400, 16
MAX_LENGTH = 256
BATCH_SIZE = 4
SUITE = "survival.yaml"
SOURCES = ("chat=chatterbot:chatterbot_corpus/data/english",)
METHODS = ("names", "fetch", "drop", "clear")
# Every second layer: what is trained decides how large a checkpoint is.
SCAN = "unfrozen_parameters:\n- ^model.layers.\\d*[02468].\n"


@dataclass
class Spent:
    """What writing took: seconds, how often the pace had something written, and MB."""

    seconds: float = 0.0
    writes: int = 0
    megabytes: float = 0.0
    depth: int = 0


def main() -> None:
    options = parse_options()
    count = SMOKE_EXAMPLES if options.smoke else options.examples
    with tempfile.TemporaryDirectory() as scratch, S3Server(Path(scratch) / "server") as server:
        work = Path(scratch)
        for name in [name for name in os.environ if name.startswith(("STORM_", "MLFLOW_"))]:
            del os.environ[name]
        os.environ.update(server.environment(), STORM_CACHE=str(work / "cache"), STORM_STORE=f"s3://{BUCKET}/store")
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        inputs = make_inputs(options.model, options.data, count, work)
        print("| stage | seconds | writes | MB | seconds of writes | share |\n|---|---|---|---|---|---|")
        for stage, config in stages(options.epochs):
            if stage.verb in options.stages:
                measure(stage, config, {name: inputs[name] for name in stage.inputs if name in inputs}, work)
    print(f"\n{count} examples; at most {MAX_SHARE:.0%} is meant")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what writing partial results costs.")
    parser.add_argument("--model", type=Path, required=True, help="directory of an instruct model")
    parser.add_argument("--data", type=Path, default=Path(".data"), help="where chatterbot_corpus and bfcl_eval lie")
    parser.add_argument("--examples", type=int, default=FULL_EXAMPLES, help=f"how many (default {FULL_EXAMPLES})")
    verbs = ("train", "score", "evaluate")
    parser.add_argument("--stages", nargs="+", choices=verbs, default=verbs, help="which stages (default: all)")
    parser.add_argument("--epochs", type=float, default=1.0, help="of the training (default 1)")
    parser.add_argument("--smoke", action="store_true", help=f"{SMOKE_EXAMPLES} examples")
    return parser.parse_args()


def stages(epochs: float) -> list[tuple[Stage, StageConfig]]:
    training = TrainConfig(epochs=epochs, batch_size=BATCH_SIZE, max_length=MAX_LENGTH, evaluations=1)
    return [
        (TRAIN, training),
        (SCORE, ScoreConfig(max_length=MAX_LENGTH, min_educational_value=1.0, batch_size=BATCH_SIZE)),
        (EVALUATE, EvaluateConfig(suite=SUITE)),
    ]


def make_inputs(model: Path, data: Path, count: int, work: Path) -> dict[str, list[str]]:
    """Real chat as examples and as a selection, a scan, and the questions of the demo's suite."""
    prepared, selection, scan = work / "examples", work / "selection", work / "scan"
    config = PrepareConfig(sources=SOURCES, shards=1, max_examples_per_source=count, max_rejected_fraction=0.01)
    execute(PREPARE, config, {"data": [str(data)]}, {"examples": prepared}, {})
    examples = list(read_examples(open_reference(str(prepared)).file("shard-00000.parquet")))[:count]
    selection.mkdir()
    write_examples(selection / "train.parquet", examples[VALIDATION_EXAMPLES:])
    write_examples(selection / "validation.parquet", examples[:VALIDATION_EXAMPLES])
    scan.mkdir()
    (scan / "unfrozen_parameters.yaml").write_text(SCAN)
    make_suite(data, count, work / "data")
    directories = {"model": model, "examples": prepared, "selection": selection, "scan": scan, "data": work / "data"}
    return {name: [str(directory)] for name, directory in directories.items()}


def make_suite(data: Path, count: int, target: Path) -> None:
    """The demo's suite and its questions, with at most so many of each benchmark."""
    suite = read_yaml(files("storm_core.evaluation.suites").joinpath("smoke.yaml").read_bytes(), "smoke.yaml")
    for benchmark in suite["benchmarks"]:
        questions = benchmark.get("questions", benchmark)
        questions["samples"] = min(questions["samples"], count)
        path = data / (benchmark.get("path") or questions["path"])
        copy = shutil.copytree if path.is_dir() else shutil.copy
        (target / path.relative_to(data)).parent.mkdir(parents=True, exist_ok=True)
        if not (target / path.relative_to(data)).exists():
            copy(path, target / path.relative_to(data))
    (target / SUITE).write_text(yaml.safe_dump(suite), encoding="utf-8")


def measure(stage: Stage, config: StageConfig, inputs: dict[str, list[str]], work: Path) -> None:
    """Run the stage and print its row of the table."""
    outputs = {name: work / stage.verb / name for name in stage.outputs}
    started = time.monotonic()
    with timed_writes() as spent:
        execute(stage, config, inputs, outputs, {})
    seconds = time.monotonic() - started
    row = (stage.verb, f"{seconds:.0f}", spent.writes, f"{spent.megabytes:.1f}", f"{spent.seconds:.2f}")
    print(f"| {' | '.join(map(str, row))} | {spent.seconds / seconds:.2%} |", flush=True)


@contextmanager
def timed_writes() -> Iterator[Spent]:
    """Adds up what the partial results' methods and the trainer's saving take; where one calls another, once."""
    spent = Spent()
    kept = S3PartialResults.keep

    def keep(self: S3PartialResults, name: str, source: Path) -> None:
        spent.megabytes += source.stat().st_size / 1e6
        kept(self, name, source)

    def wrote(self: Pace, since: float) -> None:
        spent.writes += 1
        noted(self, since)

    noted = Pace.wrote
    with ExitStack() as patches:
        for owner, name, function in [
            (S3PartialResults, "keep", timed(keep, spent)),
            *((S3PartialResults, name, timed(getattr(S3PartialResults, name), spent)) for name in METHODS),
            (CheckpointWriter, "keep", timed(CheckpointWriter.keep, spent)),
            (Pace, "wrote", wrote),
        ]:
            patches.enter_context(patch.object(owner, name, function))
        yield spent


def timed(function: Callable[..., Any], spent: Spent) -> Callable[..., Any]:
    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        spent.depth += 1
        started = time.monotonic()
        try:
            return function(*args, **kwargs)
        finally:
            spent.depth -= 1
            if not spent.depth:
                spent.seconds += time.monotonic() - started

    return run


if __name__ == "__main__":
    main()
