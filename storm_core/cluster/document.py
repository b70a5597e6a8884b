"""The TrainJob of a training."""

from typing import Any

from storm_core.cluster.api import GROUP, VERSION
from storm_core.cluster.followers import KEY_VARIABLE, UNFOLLOWED_VARIABLE
from storm_core.cluster.name import job_name
from storm_core.cluster.nodes import TrainingNodes
from storm_core.cluster.own_pod import OwnPod
from storm_core.cluster.request import JobRequest
from storm_core.torchrun import escaped

KEY_ANNOTATION = "storm-kubeflow/run-key"
# The only replicated job of our TrainingRuntime, and its only container.
NODE = "node"
COMMAND = ("python", "-m", "storm_core.cluster.node")
KUEUE = "kueue.x-k8s.io/"
# Who speaks in `runtimePatches`, where Kueue speaks too.
_MANAGER = "storm-kubeflow/train"
_PART_OF = {"app.kubernetes.io/part-of": "storm"}


def train_job(request: JobRequest, nodes: TrainingNodes, own: OwnPod) -> dict[str, Any]:
    """The TrainJob of a request, whose nodes run its command under torchrun; named by what it trains.

    Args:
        request: what the job is to do.
        nodes: what the profile asks for.
        own: what is taken over from the component.
    """
    metadata: dict[str, Any] = {
        "name": job_name(request.command[0], request.key),
        "labels": {**_PART_OF, **nodes.labels},
        "annotations": {KEY_ANNOTATION: request.key},
    }
    if own.owner:
        metadata["ownerReferences"] = [dict(own.owner)]
    spec: dict[str, Any] = {
        "runtimeRef": {"apiGroup": GROUP, "kind": nodes.runtime_kind, "name": nodes.runtime},
        "trainer": _trainer(request, nodes, own),
        "runtimePatches": [_patch(nodes, own)],
    }
    if nodes.deadline_seconds:
        spec["activeDeadlineSeconds"] = nodes.deadline_seconds
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "TrainJob", "metadata": metadata, "spec": spec}


def _trainer(request: JobRequest, nodes: TrainingNodes, own: OwnPod) -> dict[str, Any]:
    limit = f"{60 * nodes.unfollowed_minutes:g}"
    given = {**nodes.environment, **request.environment, KEY_VARIABLE: request.key, UNFOLLOWED_VARIABLE: limit}
    variables = [one for one in own.environment if one["name"] not in given]
    variables += [{"name": name, "value": value} for name, value in given.items()]
    trainer: dict[str, Any] = {
        "numNodes": nodes.count,
        "numProcPerNode": nodes.processes,
        "command": list(COMMAND),
        "args": escaped(request.command),
        "env": variables,
    }
    if image := nodes.image or own.image:
        trainer["image"] = image
    if nodes.resources:
        trainer["resourcesPerNode"] = dict(nodes.resources)
    return trainer


def _patch(nodes: TrainingNodes, own: OwnPod) -> dict[str, Any]:
    """What `spec.trainer` has no field for."""
    container: dict[str, Any] = {"name": NODE}
    if mounts := [*own.volume_mounts, *nodes.volume_mounts]:
        container["volumeMounts"] = mounts
    pod = {**own.pod, **nodes.pod, "containers": [container]}
    if volumes := [*own.pod.get("volumes", []), *nodes.pod.get("volumes", [])]:
        pod["volumes"] = volumes
    labels = {name: value for name, value in nodes.labels.items() if not name.startswith(KUEUE)}
    metadata: dict[str, Any] = {"labels": {**_PART_OF, **labels}}
    if nodes.annotations:
        metadata["annotations"] = dict(nodes.annotations)
    replicated = {"name": NODE, "template": {"spec": {"template": {"metadata": metadata, "spec": pod}}}}
    return {"manager": _MANAGER, "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [replicated]}}}}
