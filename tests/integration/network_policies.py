"""Whether NetworkPolicies allow a flow, as a network plugin that enforces them would have it.

Written from Kubernetes' API reference of NetworkPolicy. Where that leaves a choice to the plugin the answer is no: a
block of addresses never stands for a pod.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Policy = Mapping[str, Any]
Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Peer:
    """One end of a flow.

    Attributes:
        namespace: a pod's; empty for what is no pod.
        node: whether it is the node, whose probes enter whatever policies say.
        named_ports: a pod's ports by their names.
    """

    address: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    namespace_labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    node: bool = False
    named_ports: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Flow:
    """A connection, by who began it; answers belong to it."""

    source: Peer
    destination: Peer
    port: int
    protocol: str = "TCP"


def is_allowed(flow: Flow, policies: Iterable[Policy]) -> bool:
    """Whether the source may leave for the destination, and the destination lets it in."""
    if flow.source == flow.destination:
        return True
    known = list(policies)
    enters = flow.source.node or _passes(flow, flow.destination, flow.source, known, "Ingress")
    return enters and _passes(flow, flow.source, flow.destination, known, "Egress")


def is_selected(pod: Peer, policy: Policy) -> bool:
    """Whether the policy is one of the pod's."""
    return pod.namespace == policy["metadata"]["namespace"] and _holds(policy["spec"].get("podSelector"), pod.labels)


def _passes(flow: Flow, pod: Peer, other: Peer, policies: list[Policy], direction: str) -> bool:
    """One end's word on the flow: that of any rule, where a policy selects the pod; else everything passes."""
    own = [one for one in policies if pod.namespace and is_selected(pod, one) and direction in _types(one["spec"])]
    rules = [(one["metadata"]["namespace"], rule) for one in own for rule in one["spec"].get(direction.lower()) or []]
    side = "from" if direction == "Ingress" else "to"
    return not own or any(
        _names_port(rule, flow) and _names_peer(rule.get(side), other, namespace) for namespace, rule in rules
    )


def _types(spec: Fields) -> list[str]:
    """The directions that a policy is about; where it does not say, egress counts if it has rules for it."""
    return spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]


def _names_peer(peers: list[Fields] | None, other: Peer, namespace: str) -> bool:
    return not peers or any(_is_peer(peer, other, namespace) for peer in peers)


def _is_peer(peer: Fields, other: Peer, namespace: str) -> bool:
    if "ipBlock" in peer:
        return not other.namespace and _in_block(peer["ipBlock"], other.address)
    if not other.namespace:
        return False
    if "namespaceSelector" in peer:
        near = _holds(peer["namespaceSelector"], other.namespace_labels)
    else:
        near = other.namespace == namespace
    return near and _holds(peer.get("podSelector"), other.labels)


def _in_block(block: Fields, address: str) -> bool:
    known = ipaddress.ip_address(address)
    left_out = any(known in ipaddress.ip_network(part) for part in block.get("except", []))
    return known in ipaddress.ip_network(block["cidr"]) and not left_out


def _names_port(rule: Fields, flow: Flow) -> bool:
    return not rule.get("ports") or any(_is_port(port, flow) for port in rule["ports"])


def _is_port(port: Fields, flow: Flow) -> bool:
    if port.get("protocol", "TCP") != flow.protocol:
        return False
    number = port.get("port")
    if number is None:
        return True
    if isinstance(number, str):
        return flow.destination.named_ports.get(number) == flow.port
    return bool(number <= flow.port <= port.get("endPort", number))


def _holds(selector: Fields | None, labels: Mapping[str, str]) -> bool:
    """Whether the labels are what the selector asks for; one that asks for nothing takes all."""
    asked = selector or {}
    equal = all(labels.get(key) == value for key, value in (asked.get("matchLabels") or {}).items())
    return equal and all(_is_so(expression, labels) for expression in asked.get("matchExpressions") or [])


def _is_so(expression: Fields, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    answers = {
        "In": key in labels and labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }
    return answers[expression["operator"]]
