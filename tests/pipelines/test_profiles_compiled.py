"""What a profile makes of the compiled pipeline: what KFP is told, and that nothing else changes."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components import images
from pipelines.profiles.applying import retrying_seconds
from pipelines.profiles.loading import DEFAULT, shipped
from tests.pipelines.test_cluster_settings import RECIPES, check_that_kfp_reads, compiled, verbs

REGISTERED_MODEL_NAME = "register_registered_model_name"
EVERYTHING = str(Path(__file__).with_name("everything.yaml"))
# All that may differ between two profiles, by the place in the compiled pipeline.
MAY_DIFFER = {
    "image variant": ("pipeline", "deploymentSpec", "executors", "*", "container", "image"),
    "environment": ("pipeline", "deploymentSpec", "executors", "*", "container", "env"),
    "resources": ("pipeline", "deploymentSpec", "executors", "*", "container", "resources"),
    "scheduling, volumes, secrets and the pod's marks": ("kubernetes", "executors", "*"),
    "retry": ("pipeline", "components", "*", "dag", "tasks", "*", "retryPolicy"),
    "retry of the root's tasks": ("pipeline", "root", "dag", "tasks", "*", "retryPolicy"),
    "parallelism": ("pipeline", "components", "*", "dag", "tasks", "*", "iteratorPolicy"),
    "registered model": ("pipeline", "root", "inputDefinitions", "parameters", REGISTERED_MODEL_NAME),
    "what a run expects": ("pipeline", "pipelineInfo", "description"),
}


def whole(documents: list[dict[str, Any]]) -> dict[str, Any]:
    pipeline, platform = documents
    return {"pipeline": pipeline, "kubernetes": platform["platforms"]["kubernetes"]["deploymentSpec"]}


def differences(one: Any, other: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The places where two documents differ, each the deepest that both have, or that one of them lacks."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in {*one, *other}:
            if name in one and name in other:
                yield from differences(one[name], other[name], (*path, name))
            else:
                yield (*path, name)
    elif one != other:
        yield path


def named(path: tuple[str, ...]) -> str | None:
    """What may differ there; None where nothing may."""
    for name, pattern in MAY_DIFFER.items():
        if len(path) >= len(pattern) and all(want in ("*", is_) for want, is_ in zip(pattern, path, strict=False)):
            return name
    return None


@pytest.fixture(scope="module")
def by_profile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    directory = tmp_path_factory.mktemp("compiled")
    profiles = {**{name: name for name in shipped()}, "everything": EVERYTHING}
    return {name: compiled(directory / f"{name}.yaml", "--profile", path) for name, path in profiles.items()}


@pytest.mark.parametrize("pair", list(itertools.combinations([*shipped(), "everything"], 2)), ids=" ".join)
def test_profiles_differ_in_what_a_cluster_gives_and_in_nothing_else(
    by_profile: dict[str, list[dict[str, Any]]], pair: tuple[str, str]
) -> None:
    one, other = (whole(by_profile[name]) for name in pair)
    found = {path: named(path) for path in differences(one, other)}
    assert [path for path, name in found.items() if name is None] == []
    expected = set(MAY_DIFFER) if "everything" in pair and DEFAULT in pair else set()
    assert set(found.values()) >= expected
    if "everything" not in pair:
        assert "what a run expects" not in found.values()


@pytest.mark.parametrize("profile", [*shipped(), "everything"])
def test_compiled_with_every_profile_is_what_kfp_reads(
    by_profile: dict[str, list[dict[str, Any]]], profile: str
) -> None:
    check_that_kfp_reads(by_profile[profile])


@pytest.mark.parametrize("recipe", [path for path in RECIPES if path.stem != "smoke"], ids=lambda path: path.stem)
@pytest.mark.parametrize("profile", shipped())
def test_every_other_recipe_with_every_profile_is_what_kfp_reads(recipe: Path, profile: str, tmp_path: Path) -> None:
    check_that_kfp_reads(compiled(tmp_path / "p.yaml", "--profile", profile, recipe=recipe))


def test_without_a_profile_the_pipeline_is_that_of_the_default(
    by_profile: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    assert compiled(tmp_path / "p.yaml") == by_profile[DEFAULT]


@pytest.fixture(scope="module")
def training(by_profile: dict[str, list[dict[str, Any]]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The container of `train` with every field, and Kubernetes' part of it."""
    documents = whole(by_profile["everything"])
    container = documents["pipeline"]["deploymentSpec"]["executors"]["exec-train"]["container"]
    return container, documents["kubernetes"]["executors"]["exec-train"]


def test_container_asks_for_devices_and_gets_its_variables(training: tuple[dict[str, Any], dict[str, Any]]) -> None:
    container, _ = training
    assert container["image"] == f"registry.example.com/storm/{images.CUDA_OF[images.TRAINING]}"
    asked = container["resources"]
    assert asked["accelerator"]["resourceType"] == "nvidia.com/mig-1g.10gb"
    assert asked["accelerator"]["resourceCount"] == "1"
    assert (asked["resourceMemoryRequest"], asked["resourceMemoryLimit"]) == ("1Gi", "64Gi")
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert environment["STORM_STORE"] == "s3://models/storm"
    assert environment["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    assert (environment["TMPDIR"], environment["STORM_CACHE"]) == ("/tmp", "/tmp/storm")  # noqa: S108
    assert environment["SSL_CERT_FILE"] == "/etc/company-ca/ca.crt"


def test_pod_is_placed_marked_and_pulled_as_the_profile_says(
    training: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    _, pod = training
    assert pod["nodeSelector"] == {"labels": {"pool": "batch", "disk": "nvme"}}
    (term,) = pod["nodeAffinity"]
    (product,) = term["matchExpressions"]
    assert (product["key"], product["operator"]) == ("nvidia.com/gpu.product", "In")
    assert product["values"] == ["NVIDIA-H100-80GB-HBM3", "NVIDIA-A100-SXM4-80GB"]
    assert "weight" not in term, "required, not preferred"
    assert [one["operator"] for one in pod["tolerations"]] == ["Equal", "Exists"]
    assert pod["tolerations"][0]["tolerationSeconds"] == "300"
    assert pod["podMetadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    assert pod["podMetadata"]["labels"]["sidecar.istio.io/inject"] == "false"
    assert pod["podMetadata"]["annotations"] == {"example.com/owner": "A team, by mail"}
    assert [one["secretName"] for one in pod["imagePullSecret"]] == ["registry-login"]
    assert "activeDeadlineSeconds" not in pod, "the time is that of the job which it follows"


def test_volumes_are_mounted_where_the_stage_uses_them(training: tuple[dict[str, Any], dict[str, Any]]) -> None:
    _, pod = training
    (memory,) = pod["emptyDirMounts"]
    assert (memory["mountPath"], memory["medium"], memory["sizeLimit"]) == ("/dev/shm", "Memory", "4Gi")  # noqa: S108
    (scratch,) = pod["genericEphemeralVolume"]
    assert (scratch["mountPath"], scratch["size"], scratch["storageClassName"]) == ("/tmp", "20Gi", "fast")  # noqa: S108
    (authority,) = pod["configMapAsVolume"]
    assert (authority["configMapName"], authority["mountPath"]) == ("company-ca", "/etc/company-ca")
    (proxies,) = pod["configMapAsEnv"]
    assert [pair["envVar"] for pair in proxies["keyToEnv"]] == ["HTTP_PROXY", "HTTPS_PROXY"]


def test_source_that_may_be_missing_stops_no_pod(by_profile: dict[str, list[dict[str, Any]]]) -> None:
    pod = whole(by_profile["everything"])["kubernetes"]["executors"]["exec-score"]
    key = next(one for one in pod["secretAsEnv"] if one["secretName"] == "judge")
    assert key["optional"] is True
    assert key["keyToEnv"] == [{"secretKey": "token", "envVar": "OPENAI_API_KEY"}]
    assert pod["secretAsVolume"][0]["optional"] is True


def test_cuda_builds_are_those_that_the_profile_asks_for(by_profile: dict[str, list[dict[str, Any]]]) -> None:
    pipeline, _ = by_profile["one-gpu"]
    executors = pipeline["deploymentSpec"]["executors"]
    used = {verb: executors[name]["container"]["image"] for name, verb in verbs(pipeline).items()}
    cuda = images.CUDA_OF[images.TRAINING]
    assert {verb for verb, image in used.items() if image == cuda} == {"score", "audit", "train", "evaluate"}


def test_core_has_one_build_which_a_cuda_profile_leaves_alone(tmp_path: Path) -> None:
    (tmp_path / "cuda.yaml").write_text("default: {image: cuda}")
    pipeline, _ = compiled(tmp_path / "p.yaml", "--profile", str(tmp_path / "cuda.yaml"))
    used = {executor["container"]["image"] for executor in pipeline["deploymentSpec"]["executors"].values()}
    assert used == {images.CORE, images.CUDA_OF[images.TRAINING]}


def retry_policies(pipeline: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The retry policy of each task that has one, by its component."""
    graphs = [pipeline["root"], *pipeline["components"].values()]
    tasks = [task for graph in graphs for task in graph.get("dag", {}).get("tasks", {}).values()]
    return {task["componentRef"]["name"]: task["retryPolicy"] for task in tasks if "retryPolicy" in task}


@pytest.mark.parametrize("name", ["one-gpu", "h100-node", "everything"])
def test_retries_go_on_longer_than_every_attempt_may_take(
    by_profile: dict[str, list[dict[str, Any]]], name: str
) -> None:
    pipeline, platform = by_profile[name]
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    policies = retry_policies(pipeline)
    assert len({executor.removeprefix("exec-") for executor in executors}) == len(policies)
    for task, policy in policies.items():
        attempts = policy["maxRetryCount"] + 1
        executor = executors[task.replace("comp-", "exec-")]
        on_nodes = name == "everything" and task.startswith("comp-train")
        timeout = 200 * 3600 if on_nodes else int(executor["activeDeadlineSeconds"])
        waits = sum(60 * 2**number for number in range(policy["maxRetryCount"]))
        assert int(policy["backoffMaxDuration"].removesuffix("s")) > attempts * timeout + waits
        assert policy["backoffFactor"] == 2.0, "Argo takes whole numbers alone"


def test_time_for_retries_holds_timeouts_and_waits() -> None:
    week = 7 * 24 * 3600
    assert retrying_seconds(100, 1) == 2 * (100 + week) + 60
    assert retrying_seconds(100, 3) == 4 * (100 + week) + 60 + 120 + 240


def test_no_retry_is_compiled_where_none_is_asked_for(by_profile: dict[str, list[dict[str, Any]]]) -> None:
    assert retry_policies(by_profile[DEFAULT][0]) == {}


def test_so_many_shards_run_at_once_as_the_profile_says(by_profile: dict[str, list[dict[str, Any]]]) -> None:
    limits = {name: parallelism(pipeline) for name, (pipeline, _) in by_profile.items()}
    assert limits == {"laptop-kind": None, "one-gpu": 1, "h100-node": 8, "everything": 4}


def parallelism(pipeline: dict[str, Any]) -> int | None:
    tasks = [task for one in pipeline["components"].values() for task in one.get("dag", {}).get("tasks", {}).values()]
    (loop,) = (task for task in tasks if "parameterIterator" in task)
    limit: int | None = loop.get("iteratorPolicy", {}).get("parallelismLimit")
    return limit


def test_identity_of_the_pods_is_the_case_without_a_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline, _ = compiled(tmp_path / "p.yaml", "--profile", EVERYTHING)
    told = capsys.readouterr()
    assert "no --s3-secret" not in told.err
    for place in (told.out, pipeline["pipelineInfo"]["description"]):
        assert "service account storm-runner, whose identity opens the store: choose it" in place
        assert "secret registry-login, with which the images are pulled" in place
        assert "config map proxies (keys: HTTP_PROXY, HTTPS_PROXY), for every task" in place
        assert "config map company-ca, as files in /etc/company-ca, for every task" in place
        assert "perhaps secret judge (keys: token), for score" in place
