"""The pod that KFP 2.17 makes of a task: what its driver reads off the compiled pipeline, and what it adds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.integration.kfp_kubernetes import extend

# Where KFP's launcher keeps artifacts of a pipeline root `minio://mlpipeline/v2/artifacts`.
ARTIFACTS = "/minio/mlpipeline/v2/artifacts"
ARTIFACTS_URI = "minio://mlpipeline/v2/artifacts"
LAUNCHER = "/kfp-launcher"
# What KFP's launcher adds to the outputs of every task.
LOGS_OUTPUT = "executor-logs"
RUN_ID_LABEL = "pipeline/runid"
_SCRATCH = ("minio", "s3", "gcs", ".cache", ".config", ".local")
# The field of KFP's ResourceSpec to that of Kubernetes, and the older form of the same, which KFP reads no more.
_OLD_RESOURCES = ("cpuRequest", "cpuLimit", "memoryRequest", "memoryLimit")
_RESOURCES = {
    "resourceCpuRequest": ("requests", "cpu"),
    "resourceMemoryRequest": ("requests", "memory"),
    "resourceCpuLimit": ("limits", "cpu"),
    "resourceMemoryLimit": ("limits", "memory"),
}


@dataclass(frozen=True)
class Executor:
    """How a task is run, as the compiled pipeline says it: its container, and Kubernetes' part of it."""

    container: Mapping[str, Any]
    kubernetes: Mapping[str, Any]


def executors(pipeline: Mapping[str, Any], platform: Mapping[str, Any], name_variable: str) -> dict[str, Executor]:
    """The executors of a compiled pipeline by the name of their task: the variable `name_variable` of each."""
    kubernetes = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    found = {}
    for label, executor in pipeline["deploymentSpec"]["executors"].items():
        environment = {variable["name"]: variable["value"] for variable in executor["container"]["env"]}
        found[environment[name_variable]] = Executor(executor["container"], kubernetes[label])
    return found


def pod(
    name: str, executor: Executor, command: list[str], *, service_account: str, run_id: str | None = None
) -> dict[str, Any]:
    """The pod of a task whose command has its placeholders filled in; config map `name` holds what it starts from.

    With `run_id` it has the label that KFP gives every pod of a run.
    """
    container = {
        "name": "main",
        "image": executor.container["image"],
        "command": ["python3", f"{LAUNCHER}/launcher.py", LAUNCHER, *command],
        "env": [*executor.container.get("env", []), *_pod_fields()],
        "resources": resources(executor.container),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": "kfp-launcher", "mountPath": LAUNCHER},
            *({"name": _volume(directory), "mountPath": f"/{directory}"} for directory in _SCRATCH),
        ],
    }
    labels = {"pipelines.kubeflow.org/v2_component": "true"} | ({RUN_ID_LABEL: run_id} if run_id else {})
    made = {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": service_account,
            "containers": [container],
            "volumes": [
                {"name": "kfp-launcher", "configMap": {"name": name}},
                *({"name": _volume(directory), "emptyDir": {}} for directory in _SCRATCH),
            ],
        },
    }
    extend(made, executor.kubernetes)
    return made


def resources(container: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Requests and limits as Kubernetes has them, of what the compiled container asks for."""
    asked: dict[str, dict[str, str]] = {}
    for field, quantity in container.get("resources", {}).items():
        if field == "accelerator":
            asked.setdefault("limits", {})[quantity["resourceType"]] = quantity["resourceCount"]
        elif field not in _OLD_RESOURCES:
            kind, resource = _RESOURCES[field]
            asked.setdefault(kind, {})[resource] = quantity
    return asked


def with_logs_output(executor_input: str) -> str:
    """The ExecutorInput with the output that KFP's launcher adds to those that the component declares."""
    message = json.loads(executor_input)
    artifact = {"name": LOGS_OUTPUT, "type": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}}
    artifact["uri"] = f"{ARTIFACTS_URI}/{LOGS_OUTPUT}"
    message["outputs"].setdefault("artifacts", {})[LOGS_OUTPUT] = {"artifacts": [artifact]}
    return json.dumps(message)


def _pod_fields() -> list[dict[str, Any]]:
    fields = {"KFP_POD_NAME": "metadata.name", "KFP_POD_UID": "metadata.uid"}
    return [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]


def _volume(directory: str) -> str:
    return f"{directory.removeprefix('.')}-scratch"
