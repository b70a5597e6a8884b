"""The overlays of `manifests/`, built for a namespace of the tests and applied to it."""

import os
import subprocess
from pathlib import Path

import yaml

from tests.integration.cluster import Cluster

MANIFESTS = Path(__file__).parents[2] / "manifests"


def kustomize(
    directory: Path, namespace: str, *parts: str, components: tuple[str, ...] = (), registry: str = ""
) -> str:
    """What kustomize makes of these parts of `manifests/` for the namespace; `directory` gets a file for it."""
    transformer = {
        "apiVersion": "builtin",
        "kind": "NamespaceTransformer",
        "metadata": {"name": "tests", "namespace": namespace},
        "setRoleBindingSubjects": "allServiceAccounts",
    }
    written = {
        "resources": [os.path.relpath(MANIFESTS / part, directory.resolve()) for part in parts],
        "components": [os.path.relpath(MANIFESTS / "components" / one, directory.resolve()) for one in components],
        "images": [{"name": "storm-servers", "newName": f"{registry.rstrip('/')}/storm-servers".lstrip("/")}],
        "transformers": [yaml.safe_dump(transformer)],
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    return kubectl("kustomize", str(directory))


def apply(cluster: Cluster, text: str) -> None:
    """Apply manifests to the cluster, as its own server merges and checks them."""
    kubectl(
        "apply", "--server-side", "--validate=strict", "--namespace", cluster.namespace, "--filename", "-", text=text
    )


def kubectl(*arguments: str, text: str = "") -> str:
    """What kubectl answers; it has to succeed."""
    finished = subprocess.run(["kubectl", *arguments], input=text, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def has_kind(name: str) -> bool:
    """Whether the cluster knows the kind of resources, by its plural and group."""
    command = ["kubectl", "get", "customresourcedefinition", name]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
