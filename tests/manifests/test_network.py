"""What the network policies of `manifests/` let pods of a run reach, and what they do not; without a cluster."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.network_policies import Flow, Peer, is_allowed

MANIFESTS = Path(__file__).parents[2] / "manifests"
NAMES = {name: {"kubernetes.io/metadata.name": name} for name in ("kubeflow", "team", "kube-system", "other")}
SERVERS = {"kubernetes.io/metadata.name": "servers", "storm-kubeflow/servers": "true"}
TASK_LABEL, JOB_LABEL, SERVES = (
    "pipelines.kubeflow.org/v2_component",
    "jobset.sigs.k8s.io/jobset-name",
    "storm-kubeflow/serves",
)


def pod(namespace: str, **labels: str) -> Peer:
    """A pod of these labels."""
    known = SERVERS if namespace == "servers" else NAMES[namespace]
    return Peer("10.0.0.7", namespace, labels, known)


def task(namespace: str) -> Peer:
    return Peer("10.0.1.1", namespace, {TASK_LABEL: "true"}, NAMES[namespace])


def training(namespace: str, job: str = "train-1", address: str = "10.0.1.2") -> Peer:
    return Peer(address, namespace, {JOB_LABEL: job}, NAMES[namespace])


def server(namespace: str, kind: str) -> Peer:
    return pod(namespace, **{SERVES: kind})


DNS = pod("kube-system", **{"k8s-app": "kube-dns"})
API, API_BY_IPV6 = Peer("10.199.0.2"), Peer("fd5a:10:199::2")
# What KFP's launcher asks in a stage's own pod.
KFP = {
    "its metadata service": Flow(task("team"), pod("kubeflow", component="metadata-grpc-server"), 8080),
    "its API server": Flow(task("team"), pod("kubeflow", app="ml-pipeline"), 8888),
    "its API server by gRPC": Flow(task("team"), pod("kubeflow", app="ml-pipeline"), 8887),
    "its object store": Flow(task("team"), pod("kubeflow", app="seaweedfs"), 8333),
    "the Kubernetes API": Flow(task("team"), API, 6443),
    "the Kubernetes API by IPv6": Flow(task("team"), API_BY_IPV6, 6443),
    "the Kubernetes API by its Service's port": Flow(task("team"), API, 443),
    "DNS": Flow(task("team"), DNS, 53, "UDP"),
    "DNS by TCP": Flow(task("team"), DNS, 53),
}
OURS = {
    "S3": Flow(task("team"), server("team", "s3"), 8333),
    "S3 in a namespace of servers": Flow(task("team"), server("servers", "s3"), 9000),
    "MLflow": Flow(task("team"), server("team", "mlflow"), 5000),
    "MLflow in a namespace of servers": Flow(task("team"), server("servers", "mlflow"), 5000),
    "the judge": Flow(task("team"), server("team", "judge"), 8000),
    "the judge in a namespace of servers": Flow(task("team"), server("servers", "judge"), 8000),
    "another pod of the training": Flow(training("team"), training("team", address="10.0.1.3"), 29500),
    "S3 from a training": Flow(training("team"), server("team", "s3"), 8333),
    "MLflow from a training": Flow(training("team"), server("servers", "mlflow"), 5000),
    "DNS from a training": Flow(training("team"), DNS, 53, "UDP"),
    "KFP's store from a training": Flow(training("team"), pod("kubeflow", app="seaweedfs"), 8333),
}
REFUSED = {
    "the internet": Flow(task("team"), Peer("1.1.1.1"), 443),
    "the cloud's metadata": Flow(task("team"), Peer("169.254.169.254"), 80),
    "the internet by IPv6": Flow(task("team"), Peer("2606:4700::1111"), 443),
    "the cloud's metadata by IPv6": Flow(task("team"), Peer("fd00:ec2::254"), 80),
    "the node's own network": Flow(task("team"), Peer("fe80::1"), 443),
    "KFP's database": Flow(task("team"), pod("kubeflow", app="mysql"), 3306),
    "administration of KFP's store": Flow(task("team"), pod("kubeflow", app="seaweedfs"), 8111),
    "kubelet": Flow(task("team"), API, 10250),
    "another team's S3": Flow(task("team"), server("other", "s3"), 8333),
    "another team's MLflow": Flow(task("team"), server("other", "mlflow"), 5000),
    "a pod beside it": Flow(task("team"), pod("team", app="notebook"), 8888),
    "another task": Flow(task("team"), Peer("10.0.1.9", "team", {TASK_LABEL: "true"}, NAMES["team"]), 80),
    "a task from a notebook": Flow(pod("team", app="notebook"), task("team"), 8080),
    "a training from a notebook": Flow(pod("team", app="notebook"), training("team"), 29500),
    "a training from another namespace": Flow(training("other"), training("team"), 29500),
    "the Kubernetes API from a training": Flow(training("team"), API, 6443),
    "the Kubernetes API by IPv6 from a training": Flow(training("team"), API_BY_IPV6, 6443),
    "KFP's API server from a training": Flow(training("team"), pod("kubeflow", app="ml-pipeline"), 8888),
    "the judge from a training": Flow(training("team"), server("team", "judge"), 8000),
}


def policies(*files: str, namespace: str = "team") -> list[dict[str, Any]]:
    """The policies of these files of `manifests/`, in a namespace."""
    found = [one for file in files for one in yaml.safe_load_all((MANIFESTS / file).read_text(encoding="utf-8"))]
    return [
        {**one, "metadata": {**one["metadata"], "namespace": namespace}}
        for one in found
        if one["kind"] == "NetworkPolicy"
    ]


@pytest.mark.parametrize("asked", KFP)
def test_launcher_of_kfp_reaches_what_it_asks(asked: str) -> None:
    assert is_allowed(KFP[asked], policies("base/network.yaml"))


@pytest.mark.parametrize("asked", OURS)
def test_pods_of_a_run_reach_their_servers_and_each_other(asked: str) -> None:
    assert is_allowed(OURS[asked], policies("base/network.yaml"))


@pytest.mark.parametrize("asked", REFUSED)
def test_nothing_else_is_reached(asked: str) -> None:
    assert is_allowed(REFUSED[asked], []), "it would be refused by nothing"
    assert not is_allowed(REFUSED[asked], policies("base/network.yaml"))


def test_internet_is_reached_by_https_alone_where_its_component_is_taken() -> None:
    taken = policies("base/network.yaml", "components/internet/network.yaml")
    for source in (task("team"), training("team")):
        for outside in (Peer("1.1.1.1"), Peer("2606:4700::1111")):
            assert is_allowed(Flow(source, outside, 443), taken)
            assert not is_allowed(Flow(source, outside, 80), taken)
        for near in (Peer("169.254.169.254"), Peer("fe80::1")):
            assert not is_allowed(Flow(source, near, 443), taken)
    assert not is_allowed(Flow(training("team"), Peer("fd00:ec2::254"), 443), taken)


def test_mlflow_answers_pods_of_runs_and_kfp_s_plugin_and_asks_nobody() -> None:
    taken = policies("base/network.yaml", "overlays/kind/mlflow.yaml", namespace="kubeflow")
    labels = {"app": "mlflow", SERVES: "mlflow"}
    mlflow = Peer("10.0.0.9", "kubeflow", labels, NAMES["kubeflow"], named_ports={"http": 5000})
    plugin = pod("kubeflow", app="ml-pipeline")
    for source in (task("kubeflow"), training("kubeflow"), plugin, Peer("10.199.0.2", node=True)):
        assert is_allowed(Flow(source, mlflow, 5000), taken)
    assert not is_allowed(Flow(pod("kubeflow", app="notebook"), mlflow, 5000), taken)
    assert not is_allowed(Flow(task("team"), mlflow, 5000), taken)
    assert not is_allowed(Flow(mlflow, Peer("1.1.1.1"), 443), taken)


def test_pods_that_no_other_policy_selects_are_alone_where_the_namespace_denies_by_default() -> None:
    taken = policies("base/network.yaml", "components/default-deny/network.yaml")
    assert not is_allowed(Flow(pod("team", app="notebook"), Peer("1.1.1.1"), 443), taken)
    assert not is_allowed(Flow(pod("other", app="notebook"), pod("team", app="notebook"), 8888), taken)
    for asked in KFP.values():
        assert is_allowed(asked, taken)
