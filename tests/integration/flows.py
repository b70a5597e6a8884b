"""The connections that were made in the cluster's network meanwhile, as the kernel tracked them, and between whom."""

import contextlib
import ipaddress
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kubernetes import client

from tests.integration.cluster import Cluster
from tests.integration.network_policies import Flow, Peer

# A program that runs a command in the network of the cluster's node, as `$STORM_CLUSTER_TOOL run COMMAND`.
TOOL = "STORM_CLUSTER_TOOL"
# Who answers is who would have to be let in: behind a Service's address stands a pod.
_NEW = re.compile(r"\[NEW\] (tcp|udp|sctp) .*?src=(\S+) dst=\S+ .*?src=(\S+) dst=\S+ sport=(\d+)")
_CONNTRACK = ["conntrack", "--event", "--event-mask", "NEW", "--buffer-size", str(8 * 2**20)]


@contextlib.contextmanager
def recorded(to: Path) -> Iterator[None]:
    """Write each new connection to a file; none where nothing says how to look into the cluster's network."""
    tool = os.environ.get(TOOL)
    if not tool:
        yield
        return
    with to.open("wb") as file:
        process = subprocess.Popen([tool, "run", *_CONNTRACK], stdout=file, stderr=subprocess.PIPE, process_group=0)
        time.sleep(1)
        assert process.poll() is None and process.stderr, f"{TOOL}: `{tool} run conntrack` ended: {process.stderr}"
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            complaint = process.communicate()[1].decode()
    assert "ENOBUFS" not in complaint, f"connections were lost: {complaint}"


def flows_in(text: str, known: dict[str, Peer]) -> set[Flow]:
    """What conntrack wrote, as flows between those who are known by their addresses and others."""
    found = [(protocol, source, answers, int(port)) for protocol, source, answers, port in _NEW.findall(text)]
    return {
        Flow(known.get(source, Peer(source)), known.get(answers, Peer(answers)), port, protocol.upper())
        for protocol, source, answers, port in found
    }


def peers(cluster: Cluster) -> dict[str, Peer]:
    """Everybody in the cluster who has an address of their own: its pods, its nodes."""
    labels = {one.metadata.name: one.metadata.labels for one in cluster.api.list_namespace().items}
    pods = [pod for pod in cluster.api.list_pod_for_all_namespaces().items if not pod.spec.host_network]
    nodes = [address for node in cluster.api.list_node().items for address in _addresses(node)]
    return {
        **{address: Peer(address, node=True) for address in nodes},
        **{pod.status.pod_ip: _peer(pod, labels) for pod in pods if pod.status.pod_ip},
    }


def _addresses(node: Any) -> list[str]:
    """The node's own, and its end of the pods' network, from which its probes come."""
    own = [one.address for one in node.status.addresses if one.type == "InternalIP"]
    return [*own, *(str(ipaddress.ip_network(cidr)[1]) for cidr in node.spec.pod_cid_rs or [])]


def _peer(pod: Any, namespaces: dict[str, dict[str, str]]) -> Peer:
    ports = [port for container in pod.spec.containers for port in container.ports or []]
    return Peer(
        pod.status.pod_ip,
        namespace=pod.metadata.namespace,
        labels=pod.metadata.labels or {},
        namespace_labels=namespaces[pod.metadata.namespace],
        named_ports={port.name: port.container_port for port in ports if port.name},
    )


def address_of_kubernetes() -> tuple[str, int]:
    """Where the Kubernetes API is, behind its Service."""
    found = client.DiscoveryV1Api().read_namespaced_endpoint_slice("kubernetes", "default")
    return found.endpoints[0].addresses[0], found.ports[0].port
