"""An evaluation as `evaluate` wrote it, and the check that several may be compared."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storm_core.artifacts import Artifact
from storm_core.errors import InputError, first_line
from storm_core.json_objects import COUNT, NUMBER, TEXT, Maybe, Shape, check_shape, read_object
from storm_core.parquet_batches import damage_in_words

# The models of a run, in the order in which they come to be; each has an input named `<role>_evaluation`.
ROLES = ("base", "sibling", "tuned", "merged", "quantized")

_BENCHMARK: Shape = {
    "name": TEXT,
    "title": TEXT,
    "metric": TEXT,
    "value": NUMBER,
    "stderr": Maybe(NUMBER),
    "samples": COUNT,
}
_RESULTS: Shape = {
    "suite": TEXT,
    "suite_sha256": TEXT,
    "dtype": TEXT,
    "template_date": TEXT,
    "model_digest": TEXT,
    "benchmarks": [_BENCHMARK],
}
_QUESTIONS = pa.schema([("benchmark", pa.string()), ("id", pa.string()), ("score", pa.float64())])


@dataclass(frozen=True, kw_only=True)
class BenchmarkScore:
    """A model's score on one benchmark.

    Attributes:
        value: 0 to 1.
        stderr: standard error of the value; None where the metric has no formula for one.
        samples: number of questions.
        questions: score of each question, by its id; empty where it is not known.
    """

    name: str
    title: str
    metric: str
    value: float
    stderr: float | None
    samples: int
    questions: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One model's scores on one suite; `template_date` is empty where its chat template asks for no date."""

    suite: str
    suite_sha256: str
    dtype: str
    template_date: str = ""
    model_digest: str
    benchmarks: tuple[BenchmarkScore, ...]


def read_evaluation(artifact: Artifact) -> Evaluation:
    """The scores in `results.json`, and each question's score in `samples.parquet`.

    Raises:
        InputError: a file is missing or is not what `evaluate` writes, or a score is not between 0 and 1.
    """
    path = artifact.file("results.json")
    questions = _read_questions(artifact.file("samples.parquet"))
    raw = {"dtype": "", "template_date": "", **read_object(path)}
    check_shape(raw, _RESULTS, f"{path} is not what evaluate writes", "evaluate the model again")
    try:
        benchmarks = tuple(_benchmark(entry, questions.get(entry["name"], {})) for entry in raw["benchmarks"])
        evaluation = Evaluation(
            suite=raw["suite"],
            suite_sha256=raw["suite_sha256"],
            dtype=raw["dtype"],
            template_date=raw["template_date"],
            model_digest=raw["model_digest"],
            benchmarks=benchmarks,
        )
    except ValueError as error:
        raise InputError(f"{path} is not what evaluate writes: {error}; evaluate the model again") from error
    if not benchmarks:
        raise InputError(f"{path} lists no benchmark; evaluate the model on a suite that has some")
    return evaluation


def check_comparable(evaluations: Mapping[str, Evaluation]) -> None:
    """Refuse evaluations that were not made alike.

    Raises:
        InputError: names two models whose suite, precision or benchmarks differ.
    """
    dates = sorted({evaluation.template_date for evaluation in evaluations.values()} - {""})
    if len(dates) > 1:
        raise InputError(f"the models were evaluated with template_date {' and '.join(dates)}; evaluate them alike")
    first_role, first = next(iter(evaluations.items()))
    for role, evaluation in evaluations.items():
        for name in ("suite", "suite_sha256", "dtype"):
            ours, theirs = getattr(evaluation, name), getattr(first, name)
            if ours != theirs:
                raise InputError(
                    f"{role} was evaluated with {name} {ours!r} and {first_role} with {theirs!r}; "
                    "scores compare only within one suite and precision: evaluate them alike"
                )
        ours, theirs = _shape(evaluation), _shape(first)
        if ours != theirs:
            raise InputError(
                f"{role} and {first_role} differ in their benchmarks ({_differing(ours, theirs)}); evaluate them alike"
            )


def _benchmark(entry: Mapping[str, Any], questions: Mapping[str, float]) -> BenchmarkScore:
    value, stderr = float(entry["value"]), entry["stderr"]
    # Written so that NaN is refused too.
    if not 0 <= value <= 1 or not (stderr is None or 0 <= float(stderr) < math.inf):
        raise ValueError(f"{entry['name']} scores {value} with standard error {stderr}; a score is from 0 to 1")
    return BenchmarkScore(
        name=entry["name"],
        title=entry["title"],
        metric=entry["metric"],
        value=value,
        stderr=None if stderr is None else float(stderr),
        samples=int(entry["samples"]),
        questions=questions,
    )


def _read_questions(path: Path) -> dict[str, dict[str, float]]:
    """Score of every question, by benchmark and id; a benchmark with an unknown score or a repeated id is left out."""
    columns = ["benchmark", "id", "score"]
    try:
        with damage_in_words(path, "scored questions"):
            rows = pq.read_table(path, columns=columns).cast(_QUESTIONS).to_pylist()
    except KeyError as error:
        raise InputError(f"{path} is not what evaluate writes: {first_line(error)}") from error
    questions: dict[str, dict[str, float]] = {}
    unusable = set()
    for row in rows:
        scores = questions.setdefault(row["benchmark"], {})
        if row["score"] is None or row["id"] in scores:
            unusable.add(row["benchmark"])
        else:
            scores[row["id"]] = row["score"]
    return {name: scores for name, scores in questions.items() if name not in unusable}


def _shape(evaluation: Evaluation) -> list[tuple[str, str, int]]:
    return [(benchmark.name, benchmark.metric, benchmark.samples) for benchmark in evaluation.benchmarks]


def _differing(ours: list[tuple[str, str, int]], theirs: list[tuple[str, str, int]]) -> str:
    names = [name for name, _, _ in [*ours, *theirs]]
    different = sorted(
        {name for name in names if [s for s in ours if s[0] == name] != [t for t in theirs if t[0] == name]}
    )
    return ", ".join(different) or "their order"
