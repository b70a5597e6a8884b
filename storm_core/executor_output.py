"""What KFP learns of a finished stage: which output artifacts it wrote, and its numbers.

KFP hands every container component the JSON of its ExecutorInput and reads the ExecutorOutput that the container writes
to the path named in it. Without that file `kfp.local` knows of no output artifacts, and the UI shows no metrics.
Formats: pipeline_spec.proto of kubeflow/pipelines, messages ExecutorInput and ExecutorOutput.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storm_core.errors import InputError
from storm_core.json_objects import ANYTHING, TEXT, Each, IfThere, Shape, check_shape
from storm_core.manifest import Manifest
from storm_core.stages import RUN_NAME

# The type of the artifact whose metadata KFP's UI shows as numbers. What is no number would be shown as 0.0.
METRICS_TYPE = "system.Metrics"
# The type of the artifact whose file the UI shows as a page.
PAGE_TYPE = "system.HTML"
_REMEDY = "a KFP ExecutorInput; leave it out by hand"
_ARTIFACT: Shape = {"type": IfThere({"schemaTitle": IfThere(TEXT)}), "metadata": IfThere(Each(ANYTHING))}
_OUTPUTS: Shape = {"outputFile": TEXT, "artifacts": IfThere(Each({"artifacts": IfThere([_ARTIFACT])}))}
_EXECUTOR_INPUT: Shape = {"inputs": IfThere({"parameterValues": IfThere(Each(ANYTHING))}), "outputs": _OUTPUTS}


def parse_executor_input(text: str) -> dict[str, Any]:
    """The ExecutorInput message that KFP passed as JSON.

    Raises:
        InputError: it is not JSON or names no place for the output.
    """
    try:
        executor_input: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"executor_input is not the JSON of {_REMEDY}") from None
    check_shape(executor_input, _EXECUTOR_INPUT, "executor_input", f"give {_REMEDY}")
    return executor_input


def run_name(executor_input: Mapping[str, Any]) -> str:
    """The name that the KFP run has in the UI; empty where KFP did not say it."""
    return str(executor_input.get("inputs", {}).get("parameterValues", {}).get(RUN_NAME, ""))


def write_executor_output(
    executor_input: Mapping[str, Any], manifests: Mapping[str, Manifest], metrics: Mapping[str, float]
) -> None:
    """Write the ExecutorOutput: digest and URI of the artifacts in `manifests`, the page, and `metrics` as numbers.

    Every other output artifact that the ExecutorInput lists is KFP's own (`executor-logs`) and left to it.
    """
    outputs = executor_input["outputs"]
    metadata: dict[str, Mapping[str, Any]] = {
        name: {"digest": manifest.digest, "store_uri": manifest.uri or ""} for name, manifest in manifests.items()
    }
    artifacts = {}
    for name, listed in outputs.get("artifacts", {}).items():
        artifact: dict[str, Any] = next(iter(listed.get("artifacts", [])), {})
        shown: dict[str, Mapping[str, Any]] = {METRICS_TYPE: metrics, PAGE_TYPE: {}}
        ours = shown.get(artifact.get("type", {}).get("schemaTitle", ""), metadata.get(name))
        if ours is not None:
            artifacts[name] = {"artifacts": [{**artifact, "metadata": {**artifact.get("metadata", {}), **ours}}]}
    path = Path(outputs["outputFile"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"artifacts": artifacts}, sort_keys=True), encoding="utf-8")
