"""Evaluations, models and decisions as small sealed artifacts."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storm_core.artifacts import seal
from storm_core.execution import execute
from storm_core.manifest import MANIFEST_NAME, read_manifest
from storm_core.promotion.config import GATE, GateConfig

Benchmarks = Mapping[str, Sequence[float]]


def make_evaluation(directory: Path, digest: str, benchmarks: Benchmarks, **changes: object) -> Path:
    """Seal an evaluation: each benchmark is given by the score of every question."""
    directory.mkdir(parents=True)
    listed, rows = [], []
    for name, scores in benchmarks.items():
        mean = sum(scores) / len(scores)
        variance = sum((score - mean) ** 2 for score in scores) / (len(scores) - 1)
        listed.append(
            {
                "name": name,
                "title": name.title(),
                "metric": "accuracy",
                "value": mean,
                "stderr": (variance / len(scores)) ** 0.5,
                "samples": len(scores),
            }
        )
        rows += [
            {"benchmark": name, "id": f"{name}-{i}", "prompt": "p", "reply": "r", "correct": None, "score": score}
            for i, score in enumerate(scores)
        ]
    results = {"suite": "smoke", "suite_sha256": "5" * 64, "model_digest": digest, "dtype": "bfloat16"}
    (directory / "results.json").write_text(json.dumps({**results, "benchmarks": listed, **changes}))
    pq.write_table(pa.Table.from_pylist(rows), directory / "samples.parquet")
    seal(directory, "evaluation", producer={"verb": "evaluate"}, inputs={"model": [digest]}, metrics={})
    return directory


def answers(right: int, total: int) -> list[float]:
    """Scores of a benchmark on which the first `right` of `total` questions are answered."""
    return [1.0] * right + [0.0] * (total - right)


# Questions answered of twenty, on two benchmarks; the merged model is the best.
ROUND = {"base": (4, 10), "sibling": (5, 10), "tuned": (12, 9), "merged": (13, 10), "quantized": (13, 9)}


@pytest.fixture
def evaluations(tmp_path: Path) -> Callable[..., dict[str, list[str]]]:
    """Makes the five inputs of `gate`; `answered` replaces the counts of some models, `digests` their digests."""

    def make(
        answered: Mapping[str, tuple[int, int]] | None = None, digests: Mapping[str, str] | None = None
    ) -> dict[str, list[str]]:
        references = {}
        for role, (first, second) in {**ROUND, **(answered or {})}.items():
            digest = (digests or {}).get(role, f"digest-of-{role}")
            benchmarks = {"tools": answers(first, 20), "trivia": answers(second, 20)}
            directory = tmp_path / "evaluations" / f"{role}-{first}-{second}-{digest[:12]}"
            if not directory.exists():
                make_evaluation(directory, digest, benchmarks)
            references[f"{role}_evaluation"] = [str(directory)]
        return references

    return make


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables made, which takes seconds. Copy it."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def registry(tmp_path: Path, empty_registry: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new MLflow database that stages use."""
    path = tmp_path / "mlflow.db"
    shutil.copy(empty_registry, path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    return path


@pytest.fixture
def promotion(tmp_path: Path, evaluations) -> Callable[..., dict[str, list[str]]]:
    """Makes the inputs of `register`: sealed models, their evaluations, and the gate's decision on them."""

    def make(generation: int = 1, answered: Mapping[str, tuple[int, int]] | None = None) -> dict[str, list[str]]:
        models = {}
        for role in ("merged", "quantized"):
            models[role] = tmp_path / "store" / f"{role}-{generation}"
            if not models[role].exists():
                models[role].mkdir(parents=True)
                (models[role] / "model.safetensors").write_text(f"weights of {role} {generation}")
                seal(models[role], "model", producer={}, inputs={"base_model": ["b" * 64]}, metrics={})
        references = evaluations(
            answered, {role: read_manifest(path / MANIFEST_NAME).digest for role, path in models.items()}
        )
        decision = tmp_path / f"decision-{generation}"
        execute(GATE, GateConfig(), inputs=references, outputs={"decision": decision}, value_files={})
        return {
            **{f"{role}_model": [str(path)] for role, path in models.items()},
            **{f"{role}_evaluation": references[f"{role}_evaluation"] for role in models},
            "decision": [str(decision)],
        }

    return make
