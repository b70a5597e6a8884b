"""The evaluator of NetworkPolicies against the rules of Kubernetes' reference, one sentence each."""

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integration.network_policies import Flow, Peer, Policy, is_allowed

HERE, THERE = {"kubernetes.io/metadata.name": "here"}, {"kubernetes.io/metadata.name": "there", "team": "b"}
TASK = Peer("10.0.0.1", "here", {"app": "task"}, HERE)
STORE = Peer("10.0.0.2", "here", {"app": "store"}, HERE, named_ports={"s3": 8333})
FAR_STORE = Peer("10.0.0.3", "there", {"app": "store"}, THERE)
FAR_TASK = Peer("10.0.0.4", "there", {"app": "task"}, THERE)
NODE = Peer("10.9.0.1", node=True)
OUTSIDE = Peer("8.8.8.8")
OUTSIDE_BY_IPV6 = Peer("2001:4860:4860::8888")
POD = {"podSelector": {"matchLabels": {"app": "store"}}}
NAMESPACE = {"namespaceSelector": {"matchLabels": {"team": "b"}}}


def policy(**spec: Any) -> Policy:
    selector = {"matchLabels": {"app": "task"}}
    return {"metadata": {"name": "one", "namespace": "here"}, "spec": {"podSelector": selector, **spec}}


def leaving(*peers: dict[str, Any], ports: list[dict[str, Any]] | None = None) -> Policy:
    rule: dict[str, Any] = {"to": list(peers), **({"ports": ports} if ports else {})}
    return policy(policyTypes=["Egress"], egress=[rule])


def entering(*peers: dict[str, Any]) -> Policy:
    return {**policy(), "spec": {"podSelector": POD["podSelector"], "ingress": [{"from": list(peers)}]}}


def block(cidr: str, *left_out: str) -> dict[str, Any]:
    return {"ipBlock": {"cidr": cidr, **({"except": list(left_out)} if left_out else {})}}


def by_expression(operator: str, *values: str) -> dict[str, Any]:
    expression = {"key": "app", "operator": operator, **({"values": list(values)} if values else {})}
    return {"podSelector": {"matchExpressions": [expression]}}


RULES: dict[str, tuple[list[Policy], Peer, bool]] = {
    "without policies everything passes": ([], FAR_STORE, True),
    "a policy of another namespace's pods is none of ours": (
        [{**policy(policyTypes=["Egress"]), "metadata": {"name": "one", "namespace": "there"}}],
        STORE,
        True,
    ),
    "a selected pod without rules reaches nothing": ([policy(policyTypes=["Egress"])], STORE, False),
    "an empty rule allows all": ([policy(policyTypes=["Egress"], egress=[{}])], OUTSIDE, True),
    "an empty list of rules allows nothing": ([policy(policyTypes=["Egress"], egress=[])], STORE, False),
    "a policy without types is of ingress alone": ([policy()], STORE, True),
    "unless it has rules of egress": ([policy(egress=[{"to": [NAMESPACE]}])], STORE, False),
    "policies add up": ([policy(policyTypes=["Egress"]), leaving(POD)], STORE, True),
    "a pod selector means the policy's namespace": ([leaving(POD)], FAR_STORE, False),
    "a namespace selector means all its pods": ([leaving(NAMESPACE)], FAR_TASK, True),
    "an empty namespace selector means all namespaces": ([leaving({"namespaceSelector": {}})], FAR_TASK, True),
    "a namespace selector is never the outside": ([leaving({"namespaceSelector": {}})], OUTSIDE, False),
    "both selectors in one peer must hold": ([leaving({**NAMESPACE, **POD})], FAR_TASK, False),
    "and do together": ([leaving({**NAMESPACE, **POD})], FAR_STORE, True),
    "two peers are alternatives": ([leaving(NAMESPACE, POD)], FAR_TASK, True),
    "a block holds its addresses": ([leaving(block("8.0.0.0/8"))], OUTSIDE, True),
    "less its exceptions": ([leaving(block("8.0.0.0/8", "8.8.0.0/16"))], OUTSIDE, False),
    "a block of IPv6 holds its addresses": ([leaving(block("::/0"))], OUTSIDE_BY_IPV6, True),
    "less its exceptions there too": ([leaving(block("::/0", "2001:4860::/32"))], OUTSIDE_BY_IPV6, False),
    "and none of IPv4": ([leaving(block("::/0"))], OUTSIDE, False),
    "as one of IPv4 holds none of IPv6": ([leaving(block("0.0.0.0/0"))], OUTSIDE_BY_IPV6, False),
    "a block is never a pod": ([leaving(block("10.0.0.0/8"))], STORE, False),
    "a port is named": ([leaving(POD, ports=[{"port": 8333}])], STORE, True),
    "another port is not": ([leaving(POD, ports=[{"port": 8334}])], STORE, False),
    "a range has an end": ([leaving(POD, ports=[{"port": 8000, "endPort": 8333}])], STORE, True),
    "beyond it nothing passes": ([leaving(POD, ports=[{"port": 8000, "endPort": 8332}])], STORE, False),
    "a name is a port of the destination": ([leaving(POD, ports=[{"port": "s3"}])], STORE, True),
    "a name that it has not is none": ([leaving(POD, ports=[{"port": "web"}])], STORE, False),
    "a port is TCP's unless it says otherwise": (
        [leaving(POD, ports=[{"port": 8333, "protocol": "UDP"}])],
        STORE,
        False,
    ),
    "a protocol without a port is all its ports": ([leaving(POD, ports=[{"protocol": "TCP"}])], STORE, True),
    "In": ([leaving(by_expression("In", "store", "other"))], STORE, True),
    "In needs the label": ([leaving(by_expression("In", "other"))], STORE, False),
    "NotIn": ([leaving(by_expression("NotIn", "store"))], STORE, False),
    "Exists": ([leaving(by_expression("Exists"))], STORE, True),
    "DoesNotExist": ([leaving(by_expression("DoesNotExist"))], STORE, False),
    "the other end has its word": ([leaving(POD), entering(NAMESPACE)], STORE, False),
    "and lets in whom it names": ([leaving(POD), entering({"podSelector": {}})], STORE, True),
}


@pytest.mark.parametrize("rule", RULES)
def test_flow_is_allowed_as_the_reference_has_it(rule: str) -> None:
    policies, destination, expected = RULES[rule]
    assert is_allowed(Flow(TASK, destination, 8333), policies) is expected


def test_node_enters_whatever_a_policy_says_and_nobody_else_does() -> None:
    closed = [{**entering(), "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}]
    assert is_allowed(Flow(NODE, STORE, 8333), closed)
    assert not is_allowed(Flow(OUTSIDE, STORE, 8333), closed)


def test_pod_reaches_itself() -> None:
    assert is_allowed(Flow(TASK, TASK, 8333), [policy(policyTypes=["Ingress", "Egress"])])


@given(address=st.ip_addresses(v=4), prefix=st.integers(0, 32), hole=st.integers(0, 32))
def test_block_holds_an_address_where_its_bits_are_the_same_and_the_exceptions_are_not(
    address: ipaddress.IPv4Address, prefix: int, hole: int
) -> None:
    def same(other: str, bits: int) -> bool:
        return int(address) >> (32 - bits) == int(ipaddress.ip_address(other)) >> (32 - bits)

    def network(other: str, bits: int) -> str:
        return str(ipaddress.ip_network(f"{other}/{bits}", strict=False))

    policies = [leaving(block(network("10.96.0.1", prefix), network("10.96.7.7", hole)))]
    expected = same("10.96.0.1", prefix) and not same("10.96.7.7", hole)
    assert is_allowed(Flow(TASK, Peer(str(address)), 443), policies) is expected


@given(first=st.booleans(), second=st.booleans())
def test_one_more_policy_of_the_same_pods_never_takes_a_flow_away(first: bool, second: bool) -> None:
    some = [leaving(POD if first else NAMESPACE)]
    more = [*some, leaving(POD if second else NAMESPACE)]
    for destination in (STORE, FAR_STORE, OUTSIDE):
        flow = Flow(TASK, destination, 8333)
        assert is_allowed(flow, more) >= is_allowed(flow, some)
