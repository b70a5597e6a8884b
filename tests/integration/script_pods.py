"""Pods that run a script of ours, with the standard library, in an image that is there."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.integration.cluster import Cluster

_DIRECTORY = "/script"


def add_script(cluster: Cluster, name: str, script: Path, files: Mapping[str, str]) -> None:
    """Make the config map `name` of a script and of text files that lie beside it."""
    contents = {script.name: script.read_bytes(), **{file: text.encode() for file, text in files.items()}}
    cluster.add_files(name, {file: base64.b64encode(content).decode() for file, content in contents.items()})


def beside_script(file: str) -> str:
    """The path of a file that lies beside the script."""
    return f"{_DIRECTORY}/{file}"


def script_pod(
    name: str, image: str, script: Path, arguments: list[str], *, port: int, labels: Mapping[str, str]
) -> dict[str, Any]:
    """The pod that runs the script of config map `name` and is ready once it listens on the port; of app `name`."""
    container = {
        "name": "script",
        "image": image,
        "command": ["python3", beside_script(script.name), *arguments],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "volumeMounts": [{"name": "script", "mountPath": _DIRECTORY}],
    }
    return {
        "metadata": {"name": name, "labels": {"app": name, **labels}},
        "spec": {
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [{"name": "script", "configMap": {"name": name}}],
        },
    }
