"""The pod of a compiled task, without a cluster: of fields that Kubernetes has, and with all that the task says."""

import json
from typing import Any

import pytest
import yaml
from kubernetes import client

from pipelines.__main__ import main
from storm_core.log_lines import TASK_NAME_VARIABLE
from tests.integration import kfp_pod
from tests.pipelines.test_cluster_settings import ROOT
from tests.pipelines.test_profiles_compiled import EVERYTHING


@pytest.fixture(scope="module")
def executors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, kfp_pod.Executor]:
    output = tmp_path_factory.mktemp("compiled") / "p.yaml"
    recipe = str(ROOT / "recipes" / "smoke.yaml")
    assert main(["compile", "--recipe", recipe, "--output", str(output), "--profile", EVERYTHING]) == 0
    pipeline, platform = yaml.safe_load_all(output.read_text())
    return kfp_pod.executors(pipeline, platform, TASK_NAME_VARIABLE)


@pytest.fixture(scope="module")
def train(executors: dict[str, kfp_pod.Executor]) -> dict[str, Any]:
    return kfp_pod.pod("train-1", executors["train"], ["storm", "train"], service_account="runner", run_id="run-1")


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["spec"]["containers"]
    return dict(found)


def test_every_task_s_pod_is_of_fields_that_kubernetes_has(executors: dict[str, kfp_pod.Executor]) -> None:
    for task, executor in executors.items():
        pod = kfp_pod.pod(task, executor, ["storm"], service_account="runner")
        check_fields(pod, "V1Pod", task)


def check_fields(given: Any, kind: str, path: str) -> None:
    """Fail where a field is none of the Kubernetes type `kind`, or its value has another type."""
    if kind.startswith("list["):
        assert isinstance(given, list), path
        for one in given:
            check_fields(one, kind[5:-1], path)
    elif kind.startswith("dict("):
        assert all(isinstance(part, str) for pair in given.items() for part in pair), path
    elif kind in ("str", "int", "bool"):
        assert type(given).__name__ == kind, f"{path} is {given!r}"
    else:
        declared = getattr(client, kind)
        fields = {declared.attribute_map[name]: type_ for name, type_ in declared.openapi_types.items()}
        assert set(given) <= set(fields), f"{path}: {kind} has no {set(given) - set(fields)}"
        for name, value in given.items():
            check_fields(value, fields[name], f"{path}.{name}")


def test_a_field_that_kubernetes_does_not_have_would_be_found() -> None:
    with pytest.raises(AssertionError, match="V1PodSpec has no"):
        check_fields({"spec": {"containers": [], "prioritie": 1}}, "V1Pod", "pod")
    with pytest.raises(AssertionError, match="activeDeadlineSeconds is '3'"):
        check_fields({"spec": {"activeDeadlineSeconds": "3"}}, "V1Pod", "pod")


def test_variables_come_from_where_the_profile_says(train: dict[str, Any]) -> None:
    sources = {one["name"]: one.get("valueFrom") for one in container(train)["env"]}
    assert sources["HTTP_PROXY"] == {"configMapKeyRef": {"name": "proxies", "key": "HTTP_PROXY", "optional": False}}
    assert sources["STORM_KFP_RUN_ID"] == {"fieldRef": {"fieldPath": "metadata.labels['pipeline/runid']"}}
    assert sources["MLFLOW_TRACKING_PASSWORD"]["secretKeyRef"]["name"] == "storm-mlflow"
    assert sources["SSL_CERT_FILE"] is None, "a plain value"
    assert len(sources) == len(container(train)["env"]), "none is set twice"


def test_volumes_are_those_of_kfp_and_of_the_profile(train: dict[str, Any]) -> None:
    volumes = {one["name"]: one for one in train["spec"]["volumes"]}
    mounts = {one["name"]: one["mountPath"] for one in container(train)["volumeMounts"]}
    assert set(volumes) == set(mounts)
    assert len(set(mounts.values())) == len(mounts) == len(container(train)["volumeMounts"])
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "4Gi"}
    claim = volumes["scratch"]["ephemeral"]["volumeClaimTemplate"]["spec"]
    assert claim["storageClassName"] == "fast"
    assert claim["resources"] == {"requests": {"storage": "20Gi"}}
    assert volumes["company-ca"]["configMap"] == {"name": "company-ca", "optional": False}
    assert (mounts["shm"], mounts["scratch"], mounts["company-ca"]) == ("/dev/shm", "/tmp", "/etc/company-ca")  # noqa: S108


def test_pod_is_placed_and_marked(train: dict[str, Any]) -> None:
    spec = train["spec"]
    assert spec["nodeSelector"] == {"pool": "batch", "disk": "nvme"}
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert required["nodeSelectorTerms"][0]["matchExpressions"][0]["key"] == "nvidia.com/gpu.product"
    assert spec["tolerations"][0]["tolerationSeconds"] == 300
    assert spec["imagePullSecrets"] == [{"name": "registry-login"}]
    # The time is the TrainJob's, which may wait in a queue for as long as it takes.
    assert "activeDeadlineSeconds" not in spec
    (nodes,) = (one["value"] for one in container(train)["env"] if one["name"] == "STORM_TRAINING_NODES")
    assert json.loads(nodes)["deadline_seconds"] == 720_000
    assert train["metadata"]["labels"]["cost-centre"] == "training"
    assert train["metadata"]["labels"]["pipeline/runid"] == "run-1"
    assert train["metadata"]["annotations"] == {"example.com/owner": "A team, by mail"}


def test_devices_are_a_limit(train: dict[str, Any]) -> None:
    assert container(train)["resources"] == {
        "requests": {"cpu": "500m", "memory": "1Gi"},
        "limits": {"cpu": "2", "memory": "64Gi", "nvidia.com/mig-1g.10gb": "1"},
    }


def test_what_these_pods_do_not_know_is_an_error(executors: dict[str, kfp_pod.Executor]) -> None:
    unknown = kfp_pod.Executor(executors["scan"].container, {**executors["scan"].kubernetes, "pvcMount": []})
    with pytest.raises(AssertionError, match=r"no \['pvcMount'\] yet"):
        kfp_pod.pod("scan", unknown, [], service_account="runner")
