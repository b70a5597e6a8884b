"""Everything the report tells, as data: the content of `results.json`."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.json_objects import check_shape, read_object
from storm_core.promotion.evaluations import ROLES, check_comparable, read_evaluation
from storm_core.reporting.config import REPORT
from storm_core.reporting.shapes import SHAPES
from storm_core.stage import Inputs
from storm_core.verdicts.schema import FILE_NAME
from storm_core.verdicts.summary import COLUMNS, VerdictSummary, summarise, total_of
from storm_core.verdicts.table import VerdictReader


def collect(title: str, inputs: Inputs) -> dict[str, Any]:
    """The numbers of a run, from the artifacts that its stages left.

    Returns:
        `title`, `funnel`, `verdicts`, `scan`, `training`, `evaluations` by role, `decision`, `registration`, and
        `lineage`: digest, producer and origins of every input.

    Raises:
        InputError: a file is missing or not of the expected form.
    """
    # Read with the gate's eyes: the table of scores makes sense only where the gate's comparison does.
    check_comparable({role: read_evaluation(inputs[f"{role}_evaluation"]) for role in ROLES})
    freezing = read_json(inputs["training"], "freezing.json")
    return {
        "title": title,
        "funnel": _funnel(read_json(inputs["selection"], "funnel.json")),
        "verdicts": collect_verdicts(verdicts.file(FILE_NAME) for verdicts in inputs.many("verdicts")),
        "scan": read_json(inputs["scan"], "scan.json"),
        "training": {
            "history": read_json(inputs["training"], "history.json"),
            "examples": read_json(inputs["training"], "examples.json"),
            "freezing": {**{name: freezing[name] for name in ("trained", "frozen")}, "proof": _proof(freezing)},
        },
        "evaluations": {role: read_json(inputs[f"{role}_evaluation"], "results.json") for role in ROLES},
        "decision": read_json(inputs["decision"], "decision.json"),
        "registration": read_json(inputs["registration"], "registration.json"),
        "lineage": {name: [_origin(artifact) for artifact in inputs.many(name)] for name in REPORT.inputs},
    }


def collect_verdicts(paths: Iterable[Path]) -> dict[str, Any]:
    """The judge, and of each rubric its wording and the numbers of the verdicts, by source and in all."""
    reader = VerdictReader(COLUMNS)
    rubrics = {name: _numbers(sources) for name, sources in summarise(paths, reader).items()}
    return {"judge_digest": reader.judge_digest, "rubrics": rubrics}


def _numbers(sources: Mapping[str, VerdictSummary]) -> dict[str, Any]:
    total = total_of(sources.values())
    return {
        "labels": list(total.wording.labels),
        "sha256": total.wording.sha256,
        "histogram_edges": total.edges,
        "sources": {source: sources[source].numbers() for source in sorted(sources)},
        "total": total.numbers(),
    }


def read_json(artifact: Artifact, name: str) -> dict[str, Any]:
    """The object in the artifact's file `name`.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    path: Path = artifact.file(name)
    content = read_object(path)
    check_shape(content, SHAPES[name], f"{path} is not what its stage writes", "make it again")
    try:
        json.dumps(content, allow_nan=False)
    except ValueError as error:  # In what is handed on as it is.
        raise InputError(f"{path} is not what its stage writes: {error}; make it again") from error
    return content


def _funnel(funnel: dict[str, Any]) -> dict[str, Any]:
    """With the order of the reasons written down, which sorted keys would lose."""
    return {**funnel, "reasons": list(funnel["total"]["dropped"])}


def _proof(freezing: dict[str, Any]) -> dict[str, int]:
    """How many frozen tensors have the same SHA-256 after training as before, and how many do not."""
    frozen = [tensor for tensor in freezing["tensors"].values() if not tensor["trained"]]
    same = sum(tensor["sha256_before"] == tensor["sha256_after"] for tensor in frozen)
    return {"frozen_unchanged": same, "frozen_changed": len(frozen) - same}


def _origin(artifact: Artifact) -> dict[str, Any]:
    producer = artifact.manifest.producer
    return {
        "kind": artifact.manifest.kind,
        "digest": artifact.digest,
        "verb": producer.get("verb", ""),
        "version": producer.get("version", ""),
        "config": producer.get("config", {}),
        "inputs": artifact.manifest.inputs,
        "metrics": artifact.manifest.metrics,
    }
