"""Each overlay's own part on the cluster: what it lets the service account do, and its MLflow."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from tests.integration import flows, overlays
from tests.integration.cluster import Cluster, namespace
from tests.integration.conftest import REGISTRY, SERVICE_ACCOUNT, Finished, servers_image
from tests.integration.network_policies import Flow, Peer, is_allowed, is_selected

pytestmark = pytest.mark.cluster

OVERLAYS = {
    "kind": {"storm-tasks", "storm-trainjobs", "mlflow"},
    "gpu": {"storm-tasks", "storm-trainjobs"},
    "multi-user": {"storm-tasks", "storm-trainjobs"},
}
# What it may do by our role, and what it may not.
MAY = [
    *(("trainer.kubeflow.org", "trainjobs", "", verb) for verb in ("create", "get", "patch", "delete")),
    *(("", "pods", "", verb) for verb in ("get", "list")),
    ("", "pods", "log", "get"),
    ("", "events", "", "list"),
]
MAY_NOT = [
    *(("trainer.kubeflow.org", "trainjobs", "", verb) for verb in ("list", "watch", "update")),
    ("trainer.kubeflow.org", "trainingruntimes", "", "create"),
    ("trainer.kubeflow.org", "clustertrainingruntimes", "", "create"),
    ("", "pods", "", "create"),
    ("", "pods", "exec", "create"),
    ("", "secrets", "", "get"),
    ("batch", "jobs", "", "create"),
]
TASK_LABELS = {"pipelines.kubeflow.org/v2_component": "true"}
ASK = """
import sys, urllib.error, urllib.request
for address, host in (pair.split("|") for pair in sys.argv[1:]):
    request = urllib.request.Request(address, headers={"Host": host} if host else {})
    try:
        print(urllib.request.urlopen(request, timeout=30).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""


@pytest.fixture(scope="module")
def trial() -> Iterator[Cluster]:
    """A namespace for overlays, with the service accounts that KFP and Kubeflow make."""
    with namespace() as made:
        for name in (SERVICE_ACCOUNT, "default-editor"):
            made.add_service_account(name)
        yield made


def apply(cluster: Cluster, directory: Path, overlay: str) -> None:
    overlays.apply(cluster, overlays.kustomize(directory, cluster.namespace, f"overlays/{overlay}", registry=REGISTRY))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_is_applied_and_may_be_applied_again(overlay: str, trial: Cluster, tmp_path: Path) -> None:
    for _ in range(2):
        apply(trial, tmp_path, overlay)
    found = client.NetworkingV1Api().list_namespaced_network_policy(trial.namespace).items
    assert OVERLAYS[overlay] <= {policy.metadata.name for policy in found}


@pytest.mark.parametrize(("overlay", "account"), [("kind", SERVICE_ACCOUNT), ("multi-user", "default-editor")])
def test_service_account_may_run_trainjobs_and_no_more(
    overlay: str, account: str, trial: Cluster, tmp_path: Path
) -> None:
    apply(trial, tmp_path, overlay)
    assert [asked for asked in MAY if not may(trial, account, *asked)] == []
    assert [asked for asked in MAY_NOT if may(trial, account, *asked)] == []


def may(cluster: Cluster, account: str, group: str, resource: str, part: str, verb: str) -> bool:
    """Whether the API server would let the service account do it, in its namespace."""
    asked = {"namespace": cluster.namespace, "group": group, "resource": resource, "subresource": part, "verb": verb}
    user = f"system:serviceaccount:{cluster.namespace}:{account}"
    review = {"spec": {"user": user, "resourceAttributes": asked}}
    return bool(client.AuthorizationV1Api().create_subject_access_review(review).status.allowed)


def test_components_are_taken_by_the_api_server(trial: Cluster, tmp_path: Path) -> None:
    left_out = set() if overlays.has_kind("trainingruntimes.trainer.kubeflow.org") else {"training"}
    there = {path.name for path in (overlays.MANIFESTS / "components").iterdir()}
    everything = tuple(sorted(there - left_out))
    overlays.apply(trial, overlays.kustomize(tmp_path, trial.namespace, "base", components=everything))
    quotas = client.CoreV1Api().list_namespaced_resource_quota(trial.namespace).items
    assert "storm" in {quota.metadata.name for quota in quotas}


def test_mlflow_answers_by_the_names_of_its_service_and_by_no_other(trial: Cluster, tmp_path: Path) -> None:
    apply(trial, tmp_path, "kind")
    overlays.kubectl(f"--namespace={trial.namespace}", "rollout", "status", "deployment/mlflow", "--timeout=300s")
    api = "api/2.0/mlflow/experiments/search?max_results=1"
    ends = ("", f".{trial.namespace}", f".{trial.namespace}.svc", f".{trial.namespace}.svc.cluster.local")
    known = [f"http://mlflow{end}:5000/{path}|" for end in ends for path in ("health", api)]
    trial.add_pod(asking("asks-mlflow", [*known, f"http://mlflow:5000/{api}|elsewhere.example:5000"]))
    assert trial.wait_until_over("asks-mlflow"), trial.log("asks-mlflow")
    assert trial.log("asks-mlflow").split() == ["200"] * len(known) + ["403"]


def asking(name: str, questions: list[str]) -> dict[str, Any]:
    """A pod as a task's that asks for these addresses and prints the answers' codes."""
    container = {
        "name": "main",
        "image": servers_image(),
        "command": ["python3", "-c", ASK, *questions],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"restartPolicy": "Never", "securityContext": security, "containers": [container]}
    return {"metadata": {"name": name, "labels": TASK_LABELS}, "spec": spec}


def test_every_connection_of_the_run_is_one_that_the_policies_allow(finished: Finished) -> None:
    if not finished.connections.exists():
        pytest.skip(f"{flows.TOOL} names no program that runs conntrack in the cluster's network")
    cluster = finished.walk.cluster
    known = flows.peers(cluster)
    made = flows.flows_in(finished.connections.read_text(encoding="utf-8"), known)
    ours = {flow for flow in made if cluster.namespace in (flow.source.namespace, flow.destination.namespace)}
    policies = applied(cluster)
    judged = {flow for flow in ours if any(is_selected(flow.source, policy) for policy in policies)}
    assert {8333, 5000, 53} <= {flow.port for flow in judged}, "S3, MLflow and DNS are asked in every run"
    pods = {ended.pod for ended in finished.walk.ended}
    assert {cluster.pods()[pod]["status"]["podIP"] for pod in pods} <= {flow.source.address for flow in judged}
    assert [flow for flow in ours if not is_allowed(as_pods(flow), policies)] == []


def as_pods(flow: Flow) -> Flow:
    """The flow as it is where DNS is a pod: on some clusters it is a process of the node."""
    if not (flow.port == 53 and flow.destination.node):
        return flow
    labels, system = {"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"}
    return Flow(flow.source, Peer(flow.destination.address, "kube-system", labels, system), 53, flow.protocol)


def applied(cluster: Cluster) -> list[dict[str, Any]]:
    """The policies of the namespace as the API server has them."""
    raw = client.NetworkingV1Api().list_namespaced_network_policy(cluster.namespace, _preload_content=False)
    return list(json.loads(raw.data)["items"])
