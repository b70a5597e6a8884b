"""A queue of Kueue in the namespace of the tests, whose quota a test changes."""

import contextlib
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client

GROUP = "kueue.x-k8s.io"
LABEL = f"{GROUP}/queue-name"
_NEXT_TO_NOTHING = "10m"


class Queue:
    """A LocalQueue with a ClusterQueue and a flavor of its own; at first it admits next to nothing.

    Names are new ones each time: Kueue removes the objects of an earlier queue in its own time.
    """

    def __init__(self, namespace: str) -> None:
        self.name = f"team-{secrets.token_hex(3)}"
        self._namespace = namespace
        self._above = f"{namespace}-{self.name}"
        self._version = _version()
        self._objects = client.CustomObjectsApi()

    def make(self) -> None:
        """Make all three objects."""
        place = (GROUP, self._version)
        self._objects.create_cluster_custom_object(*place, "resourceflavors", self._document("ResourceFlavor", {}))
        spec = {"namespaceSelector": {}, **self._quota(_NEXT_TO_NOTHING, _NEXT_TO_NOTHING)}
        self._objects.create_cluster_custom_object(*place, "clusterqueues", self._document("ClusterQueue", spec))
        local = self._document("LocalQueue", {"clusterQueue": self._above})
        local["metadata"]["name"] = self.name
        self._objects.create_namespaced_custom_object(*place, self._namespace, "localqueues", local)

    def grant(self, *, cpu: str, memory: str) -> None:
        """Let in what fits these."""
        self._change(self._quota(cpu, memory))

    def hold(self) -> None:
        """Take the nodes from all that was let in, and let nothing in."""
        self._change({"stopPolicy": "HoldAndDrain"})

    def release(self) -> None:
        """Let in what fits once more."""
        self._change({"stopPolicy": "None"})

    def remove(self) -> None:
        """Ask for all three objects to go."""
        place = (GROUP, self._version)
        self._objects.delete_namespaced_custom_object(*place, self._namespace, "localqueues", self.name)
        for plural in ("clusterqueues", "resourceflavors"):
            self._objects.delete_cluster_custom_object(*place, plural, self._above)

    def _change(self, spec: dict[str, Any]) -> None:
        place = (GROUP, self._version, "clusterqueues", self._above)
        self._objects.patch_cluster_custom_object(*place, {"spec": spec})

    def _document(self, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        metadata = {"name": self._above}
        return {"apiVersion": f"{GROUP}/{self._version}", "kind": kind, "metadata": metadata, "spec": spec}

    def _quota(self, cpu: str, memory: str) -> dict[str, Any]:
        resources = [{"name": "cpu", "nominalQuota": cpu}, {"name": "memory", "nominalQuota": memory}]
        flavor = {"name": self._above, "resources": resources}
        return {"resourceGroups": [{"coveredResources": ["cpu", "memory"], "flavors": [flavor]}]}


@contextlib.contextmanager
def queue_in(namespace: str) -> Iterator[Queue]:
    """A queue for the time of the body; without Kueue the test is skipped."""
    made = Queue(namespace)
    made.make()
    try:
        yield made
    finally:
        made.remove()


def _version() -> str:
    for group in client.ApisApi().get_api_versions().groups:
        if group.name == GROUP:
            return str(group.preferred_version.version)
    pytest.skip("this cluster has no Kueue")
