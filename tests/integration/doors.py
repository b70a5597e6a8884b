"""A way into a server of the namespace that can be taken away and put back: the server is away, and loses nothing."""

from pathlib import Path

from tests.integration.cluster import Cluster
from tests.integration.script_pods import add_script, beside_script, script_pod

SERVER = Path(__file__).with_name("door_server.py")
_CERTIFICATE = "certificate.pem"


class Door:
    """A Service that leads to `server:port` by a pod of its own.

    Whoever comes while that pod is gone is refused at once, and connections that were open break. With a certificate,
    a PEM text that holds its key too, the server speaks TLS.
    """

    def __init__(self, cluster: Cluster, name: str, server: str, port: int, image: str, certificate: str = "") -> None:
        self.name = name
        self.address = f"{name}:{port}"
        self._cluster = cluster
        arguments = [str(port), server, str(port), *([beside_script(_CERTIFICATE)] if certificate else [])]
        labels = {"storm-kubeflow/serves": server}
        self._pod = script_pod(name, image, SERVER, arguments, port=port, labels=labels)
        add_script(cluster, name, SERVER, {_CERTIFICATE: certificate})
        cluster.add_service(name, port)
        self.open()

    def open(self) -> None:
        """Let whoever comes through to the server."""
        self._cluster.add_pod(self._pod)
        self._cluster.wait_until_ready(self.name)

    def close(self) -> None:
        """Take the server away, from those who are connected too."""
        self._cluster.kill(self.name)
