"""A small, realistic run: every input of `report` as a sealed artifact."""

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storm_core.artifacts import seal
from storm_core.execution import execute
from storm_core.promotion.config import GATE, GateConfig
from storm_core.verdicts.files import write_verdicts
from storm_core.verdicts.schema import Verdict

SOURCES = {"chat": 120, "tools": 90}
RIGHT = {
    "base": (3, 0, 40),
    "sibling": (3, 0, 40),
    "tuned": (26, 11, 37),
    "merged": (27, 12, 41),
    "quantized": (27, 11, 41),
}
BENCHMARKS = {
    "simple_python": ("BFCL simple (Python)", 40),
    "multiple": ("BFCL multiple", 20),
    "trivia": ("Trivia", 60),
}
EXAMPLES = {
    "train": {"read": 70, "kept": 61, "dropped": {"too_long": 7, "left_out_by_chat_template": 2}},
    "validation": {"read": 8, "kept": 8, "dropped": {}},
}
DROPPED = ("unreadable", "exact_duplicate", "held_out", "over_the_limit", "low_educational_value", "too_easy")


@pytest.fixture
def run_inputs(tmp_path: Path) -> dict[str, list[str]]:
    """References of the inputs of `report`."""
    return make_inputs(tmp_path / "inputs")


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., dict[str, list[str]]]:
    """Makes the inputs of a run that is somehow special; see `make_inputs`."""

    def make(**special: Any) -> dict[str, list[str]]:
        return make_inputs(tmp_path / "special", **special)

    return make


def make_inputs(root: Path, *, sibling: str = "s" * 64, sources: Mapping[str, int] = SOURCES) -> dict[str, list[str]]:
    """Write and seal every input below `root`; a `sibling` of sixty-four b is the base model itself."""
    digests = {role: role[0] * 64 for role in RIGHT} | {"sibling": sibling}
    evaluations = {
        f"{role}_evaluation": [str(make_evaluation(root / role, digest, RIGHT[role]))]
        for role, digest in digests.items()
    }
    decision = root / "decision"
    execute(GATE, GateConfig(), inputs=evaluations, outputs={"decision": decision}, value_files={})
    return {
        "selection": [str(make_selection(root / "selection", sources))],
        "verdicts": [str(make_verdicts(root / f"verdicts-{shard}", sources, shard)) for shard in range(2)],
        "scan": [str(make_scan(root / "scan"))],
        "training": [str(make_training(root / "training"))],
        **evaluations,
        "decision": [str(decision)],
        "registration": [str(make_registration(root / "registration"))],
    }


def sealed(directory: Path, kind: str, files: Mapping[str, Any], **producer: Any) -> Path:
    """Write JSON files beside what the directory holds already, and seal it."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_text(json.dumps(content))
    origin = {"verb": kind, "version": "0.1.0", "config": {}, **producer}
    seal(directory, kind, producer=origin, inputs={"model": ["b" * 64]}, metrics={})
    return directory


def make_evaluation(directory: Path, digest: str, right: tuple[int, ...]) -> Path:
    """One benchmark each with as many right answers as `right` says."""
    listed, rows = [], []
    for (name, (title, total)), count in zip(BENCHMARKS.items(), right, strict=True):
        value = count / total
        stderr = (value * (1 - value) / (total - 1)) ** 0.5
        listed.append(
            {"name": name, "title": title, "metric": "accuracy", "value": value, "stderr": stderr, "samples": total}
        )
        rows += [{"benchmark": name, "id": f"{name}-{i}", "score": float(i < count)} for i in range(total)]
    directory.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), directory / "samples.parquet")
    results = {
        "suite": "smoke",
        "suite_sha256": "5" * 64,
        "dtype": "bfloat16",
        "model_digest": digest,
        "benchmarks": listed,
    }
    return sealed(directory, "evaluation", {"results.json": results}, config={"suite": "smoke"})


def make_selection(directory: Path, sources: Mapping[str, int]) -> Path:
    """Half of every source is dropped, for each reason a little."""
    rows: dict[str, Any] = {}
    for name, read in sources.items():
        dropped = {reason: (read // 12 if reason != "unreadable" else 0) for reason in DROPPED}
        left = read - sum(dropped.values())
        rows[name] = {"read": read, "dropped": dropped, "train": left - left // 10, "validation": left // 10}
    total: dict[str, Any] = {key: sum(row[key] for row in rows.values()) for key in ("read", "train", "validation")}
    total["dropped"] = {reason: sum(row["dropped"][reason] for row in rows.values()) for reason in DROPPED}
    config = {
        "min_educational_value": 3.0,
        "educational_value_by": "expected_value",
        "difficulties": ["medium", "hard"],
    }
    return sealed(directory, "selection", {"funnel.json": {"sources": rows, "total": total}}, config=config)


def make_verdicts(directory: Path, sources: Mapping[str, int], shard: int) -> Path:
    """Random verdicts under both rubrics."""
    generator = random.Random(shard)  # noqa: S311 (made up, not secret)
    verdicts = []
    for source, read in sources.items():
        for number in range(read // 2):
            id = f"{source}-{shard}-{number}"
            verdicts.append(_verdict(generator, id, source, "educational_value", ("1", "2", "3", "4", "5")))
            if number % 3:
                verdicts.append(_verdict(generator, id, source, "difficulty", ("easy", "medium", "hard")))
    directory.mkdir(parents=True)
    write_verdicts(directory / "verdicts.parquet", verdicts)
    return sealed(directory, "verdicts", {}, verb="score", config={"shard": shard, "batch_size": 8})


def _verdict(generator: random.Random, id: str, source: str, rubric: str, labels: tuple[str, ...]) -> Verdict:
    weights = [generator.random() ** 2 + (0.6 if place == len(labels) // 2 else 0) for place in range(len(labels))]
    probabilities = tuple(weight / sum(weights) for weight in weights)
    return Verdict(
        id=id,
        source=source,
        rubric=rubric,
        rubric_hash="r" * 64,
        judge_digest="b" * 64,
        labels=labels,
        values=tuple(float(place) for place in range(len(labels))),
        probabilities=probabilities,
        label=labels[probabilities.index(max(probabilities))],
        expected_value=sum(p * (place + 1) for place, p in enumerate(probabilities)),
        label_mass=generator.uniform(0.5, 0.9),
        tokens=100,
        truncated=generator.random() < 0.02,
    )


def make_scan(directory: Path, layers: int = 6) -> Path:
    """Three module types, half of each chosen, and an embedding that has no ratio."""
    generator = random.Random(0)  # noqa: S311 (made up, not secret)
    matrices: list[dict[str, Any]] = [
        {
            "module": "model.embed_tokens",
            "type": "model.embed_tokens",
            "layer": None,
            "shape": [9, 4],
            "snr": "Infinity",
            "unfrozen": True,
        }
    ]
    for kind in ("mlp.down_proj", "self_attn.k_proj", "self_attn.q_proj"):
        ratios = [10 ** generator.uniform(-2, 2) for _ in range(layers)]
        chosen = sorted(range(layers), key=lambda layer: -ratios[layer])[: layers // 2]
        matrices += [
            {
                "module": f"model.layers.{i}.{kind}",
                "type": kind,
                "layer": i,
                "shape": [4, 4],
                "snr": ratios[i],
                "unfrozen": i in chosen,
            }
            for i in range(layers)
        ]
    return sealed(directory, "scan", {"scan.json": {"unfrozen_percent": 50.0, "matrices": matrices}})


def hold_out(history: dict[str, Any]) -> None:
    """The history of a training that took the loss of other text too."""
    history["held_out"] = [{"step": 0, "loss": 2.125}, {"step": 60, "loss": 2.25}]


def make_training(directory: Path, *, changed: bool = False) -> Path:
    """A falling loss; `changed` breaks the proof of freezing."""
    generator = random.Random(0)  # noqa: S311 (made up, not secret)
    train = [
        {
            "step": step,
            "loss": 2.4 * 0.97**step + generator.uniform(0.2, 0.6),
            "learning_rate": 1e-4,
            "gradient_norm": 1.0,
        }
        for step in range(1, 61)
    ]
    validation = [{"step": step, "loss": 2.3 * 0.97**step + 0.45} for step in (0, 15, 30, 45, 60)]
    tensors = {
        f"model.layers.{i}.weight": {
            "trained": i % 2 == 0,
            "sha256_before": "0",
            "sha256_after": "01"[i % 2 == 0 or changed],
        }
        for i in range(6)
    }
    freezing = {
        "trained": {"tensors": 3, "parameters": 70_123_456, "unchanged_by_rounding": 0},
        "frozen": {"tensors": 3, "parameters": 64_391_552},
        "tensors": tensors,
    }
    history = {"train": train, "validation": validation}
    return sealed(
        directory, "training", {"history.json": history, "freezing.json": freezing, "examples.json": EXAMPLES}
    )


def make_registration(directory: Path) -> Path:
    """Two versions in a store."""
    versions = [
        {
            "role": "merged",
            "version": "1",
            "digest": "m" * 64,
            "source": "s3://store/model/mmm",
            "aliases": ["candidate", "champion"],
        },
        {"role": "quantized", "version": "2", "digest": "q" * 64, "source": "s3://store/model/qqq", "aliases": []},
    ]
    content = {"registered_model_name": "storm", "versions": versions}
    return sealed(directory, "registration", {"registration.json": content})
