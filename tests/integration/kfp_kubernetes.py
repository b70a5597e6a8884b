"""Kubernetes' part of a compiled task, as KFP 2.17's driver puts it into the pod.

By its source: `extendPodSpecPatch` in `backend/src/v2/driver/k8s.go`; for labels and annotations of the pod
`extendPodMetadata` in `backend/src/v2/compiler/argocompiler/container.go`.
"""

from collections.abc import Callable, Mapping
from typing import Any

Fields = Mapping[str, Any]


def extend(pod: dict[str, Any], kubernetes: Fields) -> None:
    """Put all that the compiled task says to Kubernetes into its pod."""
    unknown = set(kubernetes) - set(_EXTENSIONS)
    assert not unknown, f"these pods have no {sorted(unknown)} yet, which the compiled pipeline asks for"
    for name, extension in _EXTENSIONS.items():
        if name in kubernetes:
            extension(pod, kubernetes[name])


def _container(pod: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = pod["spec"]["containers"][0]
    return found


def _mount(pod: dict[str, Any], name: str, path: str, source: dict[str, Any]) -> None:
    """Add the volume, whose name must be a new one, and mount it."""
    volumes = pod["spec"]["volumes"]
    assert name not in {volume["name"] for volume in volumes}, f"two volumes would be called {name}"
    volumes.append({"name": name, **source})
    _container(pod)["volumeMounts"].append({"name": name, "mountPath": path})


def _name(reference: Fields, kind: str) -> str:
    """The name that the driver resolves, in its own order: the parameter's, then the older field."""
    parameter = reference.get(f"{kind}NameParameter")
    name: str = parameter["runtimeValue"]["constant"] if parameter else reference[f"{kind}Name"]
    return name


def _from_keys(field: str, kind: str, key: str) -> Callable[[dict[str, Any], list[Fields]], None]:
    """Variables out of the keys of secrets, or of config maps."""

    def extension(pod: dict[str, Any], sources: list[Fields]) -> None:
        for source in sources:
            optional = {"optional": source["optional"]} if "optional" in source else {}
            for pair in source["keyToEnv"]:
                reference = {"name": _name(source, kind), "key": pair[key], **optional}
                _add_variable(pod, pair["envVar"], {field: reference})

    return extension


def _add_variable(pod: dict[str, Any], name: str, source: dict[str, Any]) -> None:
    """Add a variable, which nothing else may set: of two, Kubernetes would take either."""
    environment = _container(pod)["env"]
    assert name not in {variable["name"] for variable in environment}, f"{name} is set twice"
    environment.append({"name": name, "valueFrom": source})


def _as_volume(field: str, kind: str, named: str) -> Callable[[dict[str, Any], list[Fields]], None]:
    """Files out of secrets, or of config maps, in volumes that are called as those are."""

    def extension(pod: dict[str, Any], sources: list[Fields]) -> None:
        for source in sources:
            name = _name(source, kind)
            _mount(pod, name, source["mountPath"], {field: {named: name, "optional": source.get("optional", False)}})

    return extension


def _field_paths(pod: dict[str, Any], fields: list[Fields]) -> None:
    for one in fields:
        _add_variable(pod, one["name"], {"fieldRef": {"fieldPath": one["fieldPath"]}})


def _empty_directories(pod: dict[str, Any], mounts: list[Fields]) -> None:
    for mount in mounts:
        said = {"medium": mount.get("medium"), "sizeLimit": mount.get("sizeLimit")}
        source = {name: value for name, value in said.items() if value}
        _mount(pod, mount["volumeName"], mount["mountPath"], {"emptyDir": source})


def _ephemeral_volumes(pod: dict[str, Any], volumes: list[Fields]) -> None:
    for volume in volumes:
        spec = {"accessModes": volume["accessModes"], "resources": {"requests": {"storage": volume["size"]}}}
        if not volume.get("defaultStorageClass"):
            spec["storageClassName"] = volume["storageClassName"]
        template = {"metadata": dict(volume.get("metadata", {})), "spec": spec}
        _mount(pod, volume["volumeName"], volume["mountPath"], {"ephemeral": {"volumeClaimTemplate": template}})


def _node_selector(pod: dict[str, Any], selector: Fields) -> None:
    pod["spec"]["nodeSelector"] = dict(selector["labels"])


def _node_affinity(pod: dict[str, Any], terms: list[Fields]) -> None:
    """Terms with a weight are preferred, of the others one must hold."""
    required, preferred = [], []
    for term in terms:
        selector = {name: term[name] for name in ("matchExpressions", "matchFields") if term.get(name)}
        if "weight" in term:
            preferred.append({"weight": term["weight"], "preference": selector})
        else:
            required.append(selector)
    affinity: dict[str, Any] = {}
    if required:
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": required}
    if preferred:
        affinity["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
    pod["spec"]["affinity"] = {"nodeAffinity": affinity}


def _tolerations(pod: dict[str, Any], tolerations: list[Fields]) -> None:
    found = []
    for one in tolerations:
        # 64-bit numbers are strings in the JSON form of a message.
        seconds = {"tolerationSeconds": int(one["tolerationSeconds"])} if "tolerationSeconds" in one else {}
        found.append({**one, **seconds})
    pod["spec"]["tolerations"] = found


def _pull_secrets(pod: dict[str, Any], secrets: list[Fields]) -> None:
    pod["spec"]["imagePullSecrets"] = [{"name": _name(secret, "secret")} for secret in secrets]


def _deadline(pod: dict[str, Any], seconds: str) -> None:
    pod["spec"]["activeDeadlineSeconds"] = int(seconds)


def _metadata(pod: dict[str, Any], given: Fields) -> None:
    """Labels and annotations; those that are there stay as they are."""
    for name in ("labels", "annotations"):
        if given.get(name):
            pod["metadata"][name] = {**given[name], **pod["metadata"].get(name, {})}


# By the field of KFP's KubernetesExecutorConfig, in the driver's order.
_EXTENSIONS: Mapping[str, Callable[[dict[str, Any], Any], None]] = {
    "nodeSelector": _node_selector,
    "tolerations": _tolerations,
    "secretAsVolume": _as_volume("secret", "secret", "secretName"),
    "secretAsEnv": _from_keys("secretKeyRef", "secret", "secretKey"),
    "configMapAsVolume": _as_volume("configMap", "configMap", "name"),
    "configMapAsEnv": _from_keys("configMapKeyRef", "configMap", "configMapKey"),
    "imagePullSecret": _pull_secrets,
    "fieldPathAsEnv": _field_paths,
    "activeDeadlineSeconds": _deadline,
    "genericEphemeralVolume": _ephemeral_volumes,
    "emptyDirMounts": _empty_directories,
    "nodeAffinity": _node_affinity,
    "podMetadata": _metadata,
}
