"""A finished run of every stage, with small outputs of the form that the stage writes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from storm_core.execution import execute
from storm_core.manifest import MANIFEST_NAME, read_manifest
from storm_core.pages.finished import Finished
from storm_core.reporting.config import REPORT, ReportConfig
from storm_core.stages import load_stage
from tests.reporting.conftest import (
    make_evaluation,
    make_inputs,
    make_registration,
    make_scan,
    make_selection,
    make_training,
    make_verdicts,
    sealed,
)

RIGHT = (27, 12, 41)
SPLIT = {"read": 100, "kept": 97, "dropped": {"too_long": 3}, "tokens": 40_123, "answer_tokens": 12_000}
LEDGER: dict[str, Any] = {
    "sources": {
        "chat": {"read": 120, "kept": 100, "dropped": {"duplicate": 12, "malformed": 8}},
        "tools": {"read": 90, "kept": 80, "dropped": {"held_out": 10}},
    },
    "held_out": {"bfcl": {"read": 400, "malformed": 0, "matched": 10}},
    "origins": {},
}
DOCUMENT = "<!doctype html><html><head></head><body><main><h1>Report</h1></main></body></html>"


def finished(verb: str, outputs: Mapping[str, Path], **known: Any) -> Finished:
    """The finished stage whose outputs lie in these directories."""
    manifests = {name: read_manifest(path / MANIFEST_NAME) for name, path in outputs.items()}
    return Finished(
        name=verb,
        stage=load_stage(verb),
        outputs=manifests,
        references={name: str(path) for name, path in outputs.items()},
        reused=False,
        seconds=83.0,
        **{"metrics": {"kept": 1234.0, "kept_fraction": 0.12345}, **known},
    )


def sample(verb: str, root: Path, **changes: Any) -> Finished:
    """A finished run of the stage, its outputs below `root`."""
    return replace(finished(verb, OUTPUTS[verb](root / verb), **METRICS.get(verb, {})), **changes)


def hostile(verb: str, root: Path) -> Finished:
    """The same, with markup wherever the names are the user's."""
    return finished(verb, {name: HOSTILE[verb](root / f"hostile-{verb}") for name in load_stage(verb).outputs})


def model(directory: Path) -> Path:
    directory.mkdir(parents=True)
    (directory / "model.safetensors").write_bytes(b"w" * 5000)
    return sealed(directory, "model", {"config.json": {}}, config={"dtype": "auto"})


def training(directory: Path) -> Path:
    make_training(directory)
    return sealed(directory, "training", {"examples.json": {"train": SPLIT, "validation": {**SPLIT, "dropped": {}}}})


def document(directory: Path, kind: str, name: str) -> Path:
    directory.mkdir(parents=True)
    (directory / name).write_text(DOCUMENT, encoding="utf-8")
    return sealed(directory, kind, {})


def decision(directory: Path) -> Path:
    rule = {"name": "merged_beats_base", "text": "The merge beats the base.", "reason": "a; b"}
    content = {
        "passed": False,
        "rules": [{**rule, "passed": True}, {**rule, "name": "other", "passed": False}],
        "means": {"base": 0.25, "merged": 0.5},
        "mean_stderrs": {"base": 0.02, "merged": None},
        "models": {"base": "b" * 64, "merged": "m" * 64},
        "suite": "smoke",
    }
    return sealed(directory, "decision", {"decision.json": content})


def report(directory: Path) -> Path:
    """The real report on a small run."""
    inputs = make_inputs(directory / "inputs")
    execute(REPORT, ReportConfig(), inputs=inputs, outputs={"report": directory / "report"}, value_files={})
    return directory / "report"


OUTPUTS: Mapping[str, Any] = {
    "fetch": lambda root: {"model": model(root / "model")},
    "prepare": lambda root: {"examples": sealed(root, "examples", {"ledger.json": LEDGER}, config={"shards": 4})},
    "score": lambda root: {"verdicts": make_verdicts(root, {"chat": 120, "tools": 90}, 0)},
    "select": lambda root: {"selection": make_selection(root, {"chat": 120, "tools": 90})},
    "audit": lambda root: {"audit": document(root, "audit", "judge.html")},
    "scan": lambda root: {"scan": make_scan(root, layers=32)},
    "train": lambda root: {"tuned_model": model(root / "model"), "training": training(root / "training")},
    "merge": lambda root: {"merged_model": model(root / "model")},
    "quantize": lambda root: {"quantized_model": model(root / "model")},
    "evaluate": lambda root: {"evaluation": make_evaluation(root, "b" * 64, RIGHT)},
    "gate": lambda root: {"decision": decision(root)},
    "register": lambda root: {"registration": make_registration(root)},
    "report": lambda root: {"report": report(root)},
}
_SIZES = {"source_bytes": 16e9, "written_bytes": 9e9, "relative_error": 0.026}
METRICS: Mapping[str, Any] = {
    "quantize": {"metrics": {"quantized_tensors": 210, "kept_tensors": 62, **_SIZES}},
}
MARKUP = "<img src=x onerror=fetch('https://outside.example')>"
_BENCHMARK = {"name": "x", "title": MARKUP, "metric": MARKUP, "value": 0.5, "stderr": None, "samples": 2, "others": {}}
_RESULTS = {"suite": MARKUP, "model_digest": "b" * 64, "dtype": "float32", "benchmarks": [_BENCHMARK]}
HOSTILE: Mapping[str, Any] = {
    "prepare": lambda root: sealed(
        root,
        "examples",
        {"ledger.json": {**LEDGER, "sources": {MARKUP: LEDGER["sources"]["chat"]}}},
        config={"sources": [MARKUP]},
    ),
    "score": lambda root: make_verdicts(root, {MARKUP: 120}, 0),
    "select": lambda root: make_selection(root, {MARKUP: 120}),
    "evaluate": lambda root: sealed(root, "evaluation", {"results.json": _RESULTS}, config={"suite": MARKUP}),
    "register": lambda root: sealed(
        root, "registration", {"registration.json": {"registered_model_name": MARKUP, "versions": []}}
    ),
}
