"""What KFP learns of a finished stage: its output artifacts, with digest, URI and metrics as their metadata.

KFP hands every container component the JSON of its ExecutorInput and reads the ExecutorOutput that the container writes
to the path named in it. Without that file `kfp.local` knows of no output artifacts, and the UI shows no metrics.
Formats: pipeline_spec.proto of kubeflow/pipelines, messages ExecutorInput and ExecutorOutput.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storm_core.artifacts import Manifest
from storm_core.errors import InputError


def parse_executor_input(text: str) -> dict[str, Any]:
    """The ExecutorInput message that KFP passed as JSON.

    Raises:
        InputError: it is not JSON or names no place for the output.
    """
    try:
        executor_input: dict[str, Any] = json.loads(text)
        executor_input["outputs"]["outputFile"]
    except (ValueError, KeyError, TypeError):
        raise InputError("executor_input is not the JSON of a KFP ExecutorInput; leave it out by hand") from None
    return executor_input


def write_executor_output(
    executor_input: Mapping[str, Any], manifests: Mapping[str, Manifest], metrics: Mapping[str, float]
) -> None:
    """Write the ExecutorOutput with one entry for each output artifact of the ExecutorInput."""
    outputs = executor_input["outputs"]
    artifacts = {
        name: {"artifacts": [_with_metadata(listed["artifacts"][0], manifests[name], metrics)]}
        for name, listed in outputs.get("artifacts", {}).items()
    }
    path = Path(outputs["outputFile"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"artifacts": artifacts}, sort_keys=True), encoding="utf-8")


def _with_metadata(artifact: Mapping[str, Any], manifest: Manifest, metrics: Mapping[str, float]) -> dict[str, Any]:
    identity = {"digest": manifest.digest, "store_uri": manifest.uri or ""}
    return {**artifact, "metadata": {**artifact.get("metadata", {}), **metrics, **identity}}
