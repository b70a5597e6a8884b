"""The nodes that `train` asks Kubeflow Trainer for: their fields in a profile, and what its component is told."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.profiles import kubernetes_kinds as kinds
from pipelines.profiles.contradictions import SCRATCH_ENVIRONMENT, SCRATCH_PATH, contradictions, of_gpu_products
from pipelines.profiles.kinds import Kind, choice, field, listed, mapped, number, read_fields, record, whole_number
from pipelines.profiles.parts import ACCELERATOR, TOLERATIONS, Accelerator, Toleration
from storm_core.cluster.nodes import RUNTIME, RUNTIME_KINDS, UNFOLLOWED_MINUTES
from storm_core.errors import InputError

_RESERVED = "PET_"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A volume that is there already, such as a shared cache of models."""

    name: str = field(kinds.MOUNTED_NAME, "the claim's name")
    path: str = field(kinds.MOUNT_PATH, "where it is mounted")


CLAIMS = listed(record(Claim, lambda _path, _claim: None), "a list of mappings with name and path")


@dataclass(frozen=True, kw_only=True)
class TrainingNodes:
    """What each of the nodes gets, and how many there are."""

    count: int = field(whole_number(1, 1024), "how many nodes train together, each one pod")
    cpu_request: str | None = field(kinds.PROCESSORS, "processors that are kept for a node", None)
    cpu_limit: str | None = field(kinds.PROCESSORS, "processors that it may use", None)
    memory_request: str | None = field(kinds.BYTES, "memory that is kept for a node", None)
    memory_limit: str | None = field(kinds.BYTES, "memory at which it is killed", None)
    accelerator: Accelerator | None = field(  # noqa: RUF009
        ACCELERATOR, "devices of a node; as many processes train on it", None
    )
    gpu_products: tuple[str, ...] = field(
        listed(kinds.LABEL_VALUE, "a list of values of nvidia.com/gpu.product"), "the only GPUs that it runs on", ()
    )
    node_selector: Mapping[str, str] = field(
        mapped(kinds.LABEL_KEY, kinds.LABEL_VALUE, "a mapping of labels to strings"), "labels that it must have", {}
    )
    tolerations: tuple[Toleration, ...] = field(TOLERATIONS, "taints that it may have", ())
    shared_memory: str | None = field(kinds.BYTES, "size of `/dev/shm`, by which processes of a node meet", None)
    scratch: str | None = field(kinds.BYTES, "size of a generic ephemeral volume for `/tmp`", None)
    scratch_class: str | None = field(kinds.NAME, "storage class of that volume; else the cluster's default", None)
    claims: tuple[Claim, ...] = field(CLAIMS, "claims on volumes that all nodes mount", ())
    environment: Mapping[str, str] = field(
        mapped(kinds.VARIABLE, kinds.PLAIN_TEXT, "a mapping of variables to strings"),
        "variables besides those of the task, such as NCCL's",
        {},
    )
    labels: Mapping[str, str] = field(
        mapped(kinds.OWN_KEY, kinds.LABEL_VALUE, "a mapping of keys to strings"),
        "labels of the TrainJob and its pods; Kueue's, such as kueue.x-k8s.io/queue-name, of the TrainJob alone",
        {},
    )
    annotations: Mapping[str, str] = field(
        mapped(kinds.OWN_KEY, kinds.PLAIN_TEXT, "a mapping of keys to strings"), "annotations of the pods", {}
    )
    runtime: str = field(kinds.NAME, "the TrainingRuntime", RUNTIME)
    runtime_kind: str = field(choice(*RUNTIME_KINDS), "whose it is: the namespace's or all's", RUNTIME_KINDS[0])
    unfollowed_minutes: float = field(
        number(0, 7 * 24 * 60), "after which a training that no run follows ends itself", UNFOLLOWED_MINUTES
    )


def _read(path: str, given: Any) -> TrainingNodes:
    nodes = TrainingNodes(**read_fields(TrainingNodes, path, given))
    for name, wrong in _faults(nodes):
        raise InputError(f"{path}.{name} {wrong}")
    return nodes


def _faults(nodes: TrainingNodes) -> Iterator[tuple[str, str]]:
    """Fields that contradict each other, and how."""
    yield from contradictions(nodes)
    for name in nodes.environment:
        if name.startswith(_RESERVED):
            yield "environment", f"must leave {name} to Trainer"


TRAINING_NODES = Kind("a mapping of its fields, of which count must be given", _read)


def told(nodes: TrainingNodes, deadline_seconds: int | None) -> dict[str, Any]:
    """What the component is told, as `storm_core.cluster.nodes` reads it: fields of pods as Kubernetes has them."""
    volumes, mounts = _volumes(nodes)
    scratch = SCRATCH_ENVIRONMENT if nodes.scratch else {}
    fields = {
        "count": nodes.count,
        "processes": nodes.accelerator.count if nodes.accelerator else 1,
        "runtime": nodes.runtime,
        "runtime_kind": nodes.runtime_kind,
        "unfollowed_minutes": nodes.unfollowed_minutes,
        "deadline_seconds": deadline_seconds,
        "resources": _resources(nodes),
        "pod": _pod(nodes, volumes),
        "volume_mounts": mounts,
        "environment": {**scratch, **nodes.environment},
        "labels": dict(nodes.labels),
        "annotations": dict(nodes.annotations),
    }
    return {name: value for name, value in fields.items() if value}


def _resources(nodes: TrainingNodes) -> dict[str, Any]:
    devices = {nodes.accelerator.resource: nodes.accelerator.count} if nodes.accelerator else {}
    requests = {"cpu": nodes.cpu_request, "memory": nodes.memory_request, **devices}
    limits = {"cpu": nodes.cpu_limit, "memory": nodes.memory_limit, **devices}
    asked = {"requests": _given(requests), "limits": _given(limits)}
    return _given(asked)


def _pod(nodes: TrainingNodes, volumes: list[dict[str, Any]]) -> dict[str, Any]:
    names = {"seconds": "tolerationSeconds"}
    fields = ("key", "operator", "value", "effect", "seconds")
    tolerations = [
        {names.get(name, name): value for name in fields if (value := getattr(one, name)) is not None}
        for one in nodes.tolerations
    ]
    affinity = {}
    if nodes.gpu_products:
        terms = {"nodeSelectorTerms": [{"matchExpressions": [of_gpu_products(nodes.gpu_products)]}]}
        affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    fields_of_pod = {"nodeSelector": dict(nodes.node_selector), "affinity": affinity, "tolerations": tolerations}
    return _given({**fields_of_pod, "volumes": volumes})


def _volumes(nodes: TrainingNodes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes of the pod, and where each is mounted."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    if nodes.shared_memory:
        memory = {"medium": "Memory", "sizeLimit": nodes.shared_memory}
        found["shm"] = ("/dev/shm", {"emptyDir": memory})  # noqa: S108
    if nodes.scratch:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": nodes.scratch}}}
        spec |= {"storageClassName": nodes.scratch_class} if nodes.scratch_class else {}
        found["scratch"] = (SCRATCH_PATH, {"ephemeral": {"volumeClaimTemplate": {"spec": spec}}})
    for one in nodes.claims:
        found[f"claim-{one.name}"[:63]] = (one.path, {"persistentVolumeClaim": {"claimName": one.name}})
    volumes = [{"name": name, **source} for name, (_, source) in found.items()]
    return volumes, [{"name": name, "mountPath": path} for name, (path, _) in found.items()]


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}
