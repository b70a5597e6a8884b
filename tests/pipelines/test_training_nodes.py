"""`training_nodes` of a profile: what the component of `train` is told of them, and how contradictions are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.profiles.checks import check
from pipelines.profiles.loading import load_profile
from storm_core.cluster.nodes import NODES_VARIABLE, TrainingNodes, read_nodes
from storm_core.errors import InputError
from tests.pipelines.test_cluster_settings import compiled

EVERYTHING = str(Path(__file__).with_name("everything.yaml"))
NODES = "training_nodes: {{count: 2, {0}}}\ntasks: {{train: {{image: {1}}}}}\n"


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The variables of each executor, compiled with every field."""
    pipeline, _ = compiled(tmp_path_factory.mktemp("compiled") / "nodes.yaml", "--profile", EVERYTHING)
    executors: dict[str, Any] = pipeline["deploymentSpec"]["executors"]
    return {
        name: {one["name"]: one.get("value", "") for one in executor["container"]["env"]}
        for name, executor in executors.items()
        if "container" in executor
    }


def test_component_of_train_alone_is_told_of_the_nodes(variables: dict[str, dict[str, str]]) -> None:
    assert [name for name, found in variables.items() if NODES_VARIABLE in found] == ["exec-train"]


def test_component_reads_what_the_profile_says(variables: dict[str, dict[str, str]]) -> None:
    nodes = read_nodes(variables["exec-train"][NODES_VARIABLE])
    assert (nodes.count, nodes.processes, nodes.runtime_kind) == (2, 8, "ClusterTrainingRuntime")
    assert (nodes.unfollowed_minutes, nodes.deadline_seconds) == (30, 200 * 3600)
    assert nodes.resources == {
        "requests": {"cpu": "32", "memory": "400Gi", "nvidia.com/gpu": 8},
        "limits": {"cpu": "48", "memory": "600Gi", "nvidia.com/gpu": 8},
    }
    assert nodes.pod["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}
    ]
    places = {one["name"]: one["mountPath"] for one in nodes.volume_mounts}
    assert places == {"shm": "/dev/shm", "scratch": "/tmp", "claim-models": "/models"}  # noqa: S108
    assert [one["name"] for one in nodes.pod["volumes"]] == list(places)
    assert nodes.environment["NCCL_DEBUG"] == "WARN"
    assert nodes.labels["kueue.x-k8s.io/queue-name"] == "gpus"


def test_fewest_fields_are_the_code_s_defaults(tmp_path: Path) -> None:
    path = tmp_path / "few.yaml"
    path.write_text("training_nodes: {count: 2}\n", encoding="utf-8")
    pipeline, _ = compiled(tmp_path / "few-compiled.yaml", "--profile", str(path))
    environment = pipeline["deploymentSpec"]["executors"]["exec-train"]["container"]["env"]
    (told,) = (one["value"] for one in environment if one["name"] == NODES_VARIABLE)
    assert read_nodes(told) == TrainingNodes(count=2)
    assert json.loads(told)["count"] == 2


@pytest.mark.parametrize(
    ("fields", "image", "wrong"),
    [
        ("cpu_request: 4, cpu_limit: 2", "cpu", "training_nodes.cpu_request must be at most cpu_limit"),
        ("memory_limit: 1Gi, shared_memory: 2Gi", "cpu", "training_nodes.shared_memory must be at most memory_limit"),
        ("gpu_products: [A]", "cpu", "training_nodes.gpu_products must come with accelerator"),
        ("scratch_class: fast", "cpu", "training_nodes.scratch_class is the class of a volume"),
        ("environment: {PET_NNODES: '3'}", "cpu", "training_nodes.environment must leave PET_NNODES to Trainer"),
        ("accelerator: {nvidia.com/gpu: 8}", "cpu", "training_nodes.accelerator must come with image: cuda of train"),
        ("nodes: 3", "cpu", "training_nodes.nodes is unknown"),
    ],
)
def test_contradiction_is_refused_by_the_field_s_path(tmp_path: Path, fields: str, image: str, wrong: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(NODES.format(fields, image), encoding="utf-8")
    with pytest.raises(InputError, match=wrong):
        check(load_profile(str(path)))
