"""The TrainJob's document: its name, its owner, and what it takes over from the component's pod."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from storm_core.cluster.document import train_job
from storm_core.cluster.exit_codes import FINAL, UNFOLLOWED
from storm_core.cluster.name import job_name
from storm_core.cluster.nodes import NODES_VARIABLE, RUNTIME, TrainingNodes, nodes_for, read_nodes
from storm_core.cluster.own_pod import OwnPod, taken_from
from storm_core.cluster.request import JobRequest
from storm_core.errors import InputError

MANIFESTS = Path(__file__).parents[2] / "manifests"
KEY = "ab" * 32
OWNER = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "storm-x", "uid": "1", "controller": True}
POD: dict[str, Any] = {
    "metadata": {"name": "train", "ownerReferences": [{"kind": "Other", "name": "o", "uid": "0"}, OWNER]},
    "spec": {
        "imagePullSecrets": [{"name": "registry"}],
        "volumes": [
            {"name": "kfp-launcher", "emptyDir": {}},
            {"name": "company-ca", "configMap": {"name": "company-ca"}},
            {"name": "unused", "secret": {"secretName": "unused"}},
        ],
        "containers": [
            {"name": "wait", "image": "argo"},
            {
                "name": "main",
                "image": "ghcr.io/us/storm-training@sha256:1",
                "env": [
                    {"name": "AWS_ACCESS_KEY_ID", "valueFrom": {"secretKeyRef": {"name": "storm-s3", "key": "id"}}},
                    {"name": "STORM_KFP_RUN_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['run']"}}},
                    {"name": "KFP_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": NODES_VARIABLE, "value": "{}"},
                    {"name": "STORM_STORE", "value": "s3://models/team"},
                ],
                "volumeMounts": [
                    {"name": "kfp-launcher", "mountPath": "/kfp-launcher"},
                    {"name": "company-ca", "mountPath": "/etc/company-ca"},
                ],
            },
        ],
    },
}


def made(nodes: TrainingNodes, own: OwnPod | None = None) -> dict[str, Any]:
    request = JobRequest(key=KEY, command=["train", "--epochs", "2"], environment={"STORM_TASK_NAME": "train"})
    return train_job(request, nodes, own or OwnPod())


def replicated(job: dict[str, Any]) -> dict[str, Any]:
    (patch,) = job["spec"]["runtimePatches"]
    (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    found: dict[str, Any] = node["template"]["spec"]["template"]
    return found


def test_name_is_that_of_the_run_and_fits_a_host_name() -> None:
    name = job_name("train", KEY)
    assert name == job_name("train", KEY) != job_name("train", "cd" * 32)
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
    assert len(f"{name}-node-0-1000") <= 63


def test_a_dollar_in_the_command_is_none_of_kubernetes_variables() -> None:
    request = JobRequest(key=KEY, command=["train", "--model", "/a/$(HOME)/$$"], environment={})
    args = train_job(request, TrainingNodes(count=2), OwnPod())["spec"]["trainer"]["args"]
    assert args == ["train", "--model", "/a/$$(HOME)/$$$$"]


def test_secrets_are_named_and_fields_of_the_pod_resolved() -> None:
    own = taken_from(POD, {"STORM_KFP_RUN_ID": "run-1", "AWS_ACCESS_KEY_ID": "do not show"})
    text = json.dumps(made(TrainingNodes(count=2), own))
    assert "do not show" not in text
    variables = {one["name"]: one for one in own.environment}
    assert variables["STORM_KFP_RUN_ID"]["value"] == "run-1"
    assert set(variables) == {"AWS_ACCESS_KEY_ID", "STORM_KFP_RUN_ID", "STORM_STORE"}


def test_nodes_get_the_component_s_image_files_and_owner() -> None:
    job = made(TrainingNodes(count=2, processes=8), taken_from(POD, {}))
    trainer, pod = job["spec"]["trainer"], replicated(job)["spec"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 8)
    assert trainer["image"] == "ghcr.io/us/storm-training@sha256:1"
    assert [one["name"] for one in pod["volumes"]] == ["company-ca"]
    assert pod["containers"][0]["volumeMounts"] == [{"name": "company-ca", "mountPath": "/etc/company-ca"}]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    (owner,) = job["metadata"]["ownerReferences"]
    assert owner == {name: OWNER[name] for name in ("apiVersion", "kind", "name", "uid")}


def test_kueue_admits_the_job_and_not_its_pods() -> None:
    labels = {"kueue.x-k8s.io/queue-name": "team", "cost-centre": "research"}
    job = made(TrainingNodes(count=1, labels=labels))
    assert job["metadata"]["labels"].items() >= labels.items()
    assert "kueue.x-k8s.io/queue-name" not in replicated(job)["metadata"]["labels"]
    assert replicated(job)["metadata"]["labels"]["cost-centre"] == "research"


def test_profile_s_variable_replaces_the_component_s() -> None:
    nodes = TrainingNodes(count=1, environment={"STORM_STORE": "s3://other"})
    variables = made(nodes, taken_from(POD, {}))["spec"]["trainer"]["env"]
    assert [one["value"] for one in variables if one["name"] == "STORM_STORE"] == ["s3://other"]


def test_runtime_knows_the_container_and_the_exit_codes() -> None:
    runtime = yaml.safe_load((MANIFESTS / "components/training/runtime.yaml").read_text(encoding="utf-8"))
    (node,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    (rule,) = node["template"]["spec"]["podFailurePolicy"]["rules"]
    assert runtime["metadata"]["name"] == RUNTIME
    assert node["name"] == rule["onExitCodes"]["containerName"] == "node"
    assert rule["onExitCodes"]["values"] == [FINAL, UNFOLLOWED]


def test_pods_of_the_runtime_get_no_sidecar_of_istio() -> None:
    runtime = yaml.safe_load((MANIFESTS / "components/training/runtime.yaml").read_text(encoding="utf-8"))
    (node,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    assert node["template"]["spec"]["template"]["metadata"]["labels"] == {"sidecar.istio.io/inject": "false"}


def test_stage_runs_on_nodes_only_where_the_variable_asks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert nodes_for("train") is None
    monkeypatch.setenv(NODES_VARIABLE, '{"count": 2, "volume_mounts": [{"name": "a", "mountPath": "/a"}]}')
    assert nodes_for("train") == TrainingNodes(count=2, volume_mounts=({"name": "a", "mountPath": "/a"},))
    assert nodes_for("merge") is None


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("two", "must be a JSON object"),
        ("{}", "count must be a whole number above 0, got None"),
        ('{"count": 0}', "count must be a whole number above 0, got 0"),
        ('{"count": 2, "gpus": 8}', "has no field gpus"),
        ('{"count": 2, "unfollowed_minutes": 0}', "unfollowed_minutes must be a number above 0, got 0"),
        ('{"count": 2, "labels": "team"}', "labels must be a JSON object"),
    ],
)
def test_wrong_nodes_are_refused_by_field(text: str, wrong: str) -> None:
    with pytest.raises(InputError, match=re.escape(wrong)):
        read_nodes(text)


def test_kubernetes_client_is_loaded_by_no_other_stage() -> None:
    import subprocess
    import sys

    script = "import sys; import storm_core.execution, storm_core.cli; print('kubernetes' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "False", os.environ.get("PYTHONPATH")
