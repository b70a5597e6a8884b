"""What the nodes of a training take over from the component's own pod: image, variables, files, and the owner."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from storm_core.cluster.api import Api, Document
from storm_core.cluster.nodes import NODES_VARIABLE

# Of the pod's containers, the one that Argo runs the component in.
_MAIN = "main"
_POD_NAME_VARIABLES = ("KFP_POD_NAME", "HOSTNAME")
# What is the component's own, or torchrun's to say.
_OWN = {NODES_VARIABLE, "KFP_POD_NAME", "KFP_POD_UID", "KFP_RETRY_INDEX", "ARGO_CONTAINER_NAME", "ARGO_TEMPLATE"}
_OWN_PREFIXES = ("PET_", "ARGO_")
# KFP's launcher is copied there; the nodes run the command itself.
_LAUNCHER = "kfp-launcher"
# Without a pod, what this process has that says where artifacts and runs are.
_PASSED = ("STORM_STORE", "STORM_LOG_FORMAT", "AWS_REGION", "AWS_ENDPOINT_URL_S3", "MLFLOW_TRACKING_URI")
_WORKFLOW = "Workflow"


@dataclass(frozen=True, kw_only=True)
class OwnPod:
    """What is taken over.

    Attributes:
        image: of the component's container; None outside of a pod.
        environment: variables as Kubernetes has them; what comes out of secrets is named, not held.
        pod: imagePullSecrets and volumes of the pod.
        volume_mounts: of those volumes.
        owner: reference to the Argo Workflow, with which the job is to go; None outside of one.
    """

    image: str | None = None
    environment: tuple[Mapping[str, Any], ...] = ()
    pod: Mapping[str, Any] = field(default_factory=dict)
    volume_mounts: tuple[Mapping[str, Any], ...] = ()
    owner: Mapping[str, Any] | None = None


def own_pod(api: Api) -> OwnPod:
    """The pod that this process runs in; outside of one, the variables that say where artifacts are."""
    name = next((os.environ[variable] for variable in _POD_NAME_VARIABLES if os.environ.get(variable)), None)
    found = api.pod(name) if name else None
    if found is None:
        passed = tuple({"name": name, "value": os.environ[name]} for name in _PASSED if name in os.environ)
        return OwnPod(environment=passed)
    return taken_from(found, os.environ)


def taken_from(pod: Document, environment: Mapping[str, str]) -> OwnPod:
    """What is taken over of the pod whose container has this environment."""
    spec = pod["spec"]
    container = next((one for one in spec["containers"] if one["name"] == _MAIN), spec["containers"][0])
    volumes = {one["name"]: one for one in spec.get("volumes", []) if _is_of_files(one)}
    mounts = tuple(one for one in container.get("volumeMounts", []) if one["name"] in volumes)
    mounted = [volumes[name] for name in dict.fromkeys(one["name"] for one in mounts)]
    fields = {"volumes": mounted, "imagePullSecrets": spec.get("imagePullSecrets", [])}
    return OwnPod(
        image=container["image"],
        environment=tuple(_variables(container.get("env", []), environment)),
        pod={name: value for name, value in fields.items() if value},
        volume_mounts=mounts,
        owner=_owner(pod),
    )


def _is_of_files(volume: Mapping[str, Any]) -> bool:
    return volume["name"] != _LAUNCHER and ("secret" in volume or "configMap" in volume)


def _variables(declared: list[Document], environment: Mapping[str, str]) -> list[Document]:
    """The variables without the component's own; a field of its pod is the value that it has there."""
    found = []
    for one in declared:
        if one["name"] in _OWN or one["name"].startswith(_OWN_PREFIXES):
            continue
        source = one.get("valueFrom", {})
        of_pod = "fieldRef" in source or "resourceFieldRef" in source
        found.append({"name": one["name"], "value": environment.get(one["name"], "")} if of_pod else one)
    return found


def _owner(pod: Document) -> Mapping[str, Any] | None:
    owners = pod["metadata"].get("ownerReferences", [])
    for one in owners:
        if one["kind"] == _WORKFLOW:
            return {name: one[name] for name in ("apiVersion", "kind", "name", "uid")}
    return None
