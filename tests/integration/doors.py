"""A way into a server of the namespace that can be taken away and put back: the server is away, and loses nothing."""

import base64
from pathlib import Path
from typing import Any

from tests.integration.cluster import Cluster

SERVER = Path(__file__).with_name("door_server.py")


class Door:
    """A Service that leads to `server:port` by a pod of its own.

    Whoever comes while that pod is gone is refused at once, and connections that were open break. With a certificate,
    a PEM text that holds its key too, the server speaks TLS.
    """

    def __init__(self, cluster: Cluster, name: str, server: str, port: int, image: str, certificate: str = "") -> None:
        self.name = name
        self.address = f"{name}:{port}"
        self._cluster = cluster
        arguments = [str(port), server, str(port), *(["/door/certificate.pem"] if certificate else [])]
        self._pod = _pod(name, image, arguments)
        files = {"door_server.py": SERVER.read_bytes(), "certificate.pem": certificate.encode()}
        cluster.add_files(name, {file: base64.b64encode(content).decode() for file, content in files.items()})
        cluster.add_service(name, port)
        self.open()

    def open(self) -> None:
        """Let whoever comes through to the server."""
        self._cluster.add_pod(self._pod)
        self._cluster.wait_until_ready(self.name)

    def close(self) -> None:
        """Take the server away, from those who are connected too."""
        self._cluster.kill(self.name)


def _pod(name: str, image: str, arguments: list[str]) -> dict[str, Any]:
    port = int(arguments[0])
    container = {
        "name": "door",
        "image": image,
        "command": ["python3", "/door/door_server.py", *arguments],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "volumeMounts": [{"name": "door", "mountPath": "/door"}],
    }
    return {
        "metadata": {"name": name, "labels": {"app": name, "storm-kubeflow/serves": arguments[1]}},
        "spec": {
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [{"name": "door", "configMap": {"name": name}}],
        },
    }
