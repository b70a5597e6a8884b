"""What the compiled pipeline asks of a cluster where flags say it; and that KFP can read all of it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineDeploymentConfig, PipelineSpec, PlatformSpec

from components.images import VLLM
from pipelines.__main__ import main
from pipelines.profiles.loading import DEFAULT, load_profile
from pipelines.secrets import SECRETS
from storm_core.stages import STAGES

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
NAMED = {kind: f"our-{kind}" for kind in SECRETS}
FLAGS = [part for kind, name in NAMED.items() for part in (f"--{kind}-secret", name)]


def compiled(output: Path, *more: str, recipe: Path = ROOT / "recipes" / "smoke.yaml") -> list[dict[str, Any]]:
    """The documents of the compiled pipeline: the pipeline, and what is Kubernetes' own."""
    assert main(["compile", "--recipe", str(recipe), "--output", str(output), *more]) == 0
    return list(yaml.safe_load_all(output.read_text()))


def verbs(document: dict[str, Any]) -> dict[str, str]:
    """The verb of each executor."""
    executors = document["deploymentSpec"]["executors"]
    return {name: executor["container"]["command"][1] for name, executor in executors.items()}


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return compiled(tmp_path_factory.mktemp("compiled") / "p.yaml", *FLAGS, "--service-account", "our-runner")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
@pytest.mark.parametrize("flags", [[], FLAGS], ids=["plain", "secrets"])
def test_compiled_pipeline_has_no_field_that_kfp_does_not_know(recipe: Path, flags: list[str], tmp_path: Path) -> None:
    check_that_kfp_reads(compiled(tmp_path / "p.yaml", *flags, recipe=recipe))


def check_that_kfp_reads(documents: list[dict[str, Any]]) -> None:
    pipeline, platform = documents
    json_format.ParseDict(pipeline, PipelineSpec())
    json_format.ParseDict(pipeline["deploymentSpec"], PipelineDeploymentConfig())
    json_format.ParseDict(platform, PlatformSpec())
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(executors) == set(pipeline["deploymentSpec"]["executors"])
    for executor in executors.values():
        json_format.ParseDict(executor, KubernetesExecutorConfig())


def test_a_field_that_kfp_does_not_know_would_be_found(documents: list[dict[str, Any]]) -> None:
    wrong = {"executors": {"exec-scan": {"container": {"image": "i", "memory": "1Gi"}}}}
    with pytest.raises(json_format.ParseError, match="memory"):
        json_format.ParseDict(wrong, PipelineDeploymentConfig())


def test_each_task_gets_the_secrets_that_its_stage_needs_and_no_other(documents: list[dict[str, Any]]) -> None:
    pipeline, platform = documents
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    readers = {"fetch", "prepare", "score", "audit", "train", "evaluate"}
    expected = {f"our-{kind}": set(STAGES) for kind in ("s3", "mlflow", "mlflow-token")}
    expected |= {"our-hub": readers, "our-judge": {"score", "audit"}}
    found: dict[str, set[str]] = {name: set() for name in expected}
    for executor, verb in verbs(pipeline).items():
        for secret in executors[executor]["secretAsEnv"]:
            found[secret["secretName"]].add(verb)
    assert found == expected


def test_keys_of_a_secret_become_variables_of_the_same_name(documents: list[dict[str, Any]]) -> None:
    _, platform = documents
    for executor in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        keys = {
            (s["secretName"], s["optional"]): [pair["secretKey"] for pair in s["keyToEnv"]]
            for s in executor["secretAsEnv"]
        }
        for secret in executor["secretAsEnv"]:
            assert all(pair["secretKey"] == pair["envVar"] for pair in secret["keyToEnv"])
        assert keys["our-s3", False] == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
        assert keys["our-s3", True] == ["AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL_S3"]
        assert keys["our-mlflow", False] == ["MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"]


def test_settings_of_one_pipeline_are_none_of_the_next(tmp_path: Path) -> None:
    compiled(tmp_path / "first.yaml", *FLAGS, "--store", "s3://bucket", "--registry", "ghcr.io/someone")
    plain = str(compiled(tmp_path / "second.yaml"))
    assert "ghcr.io" not in plain
    assert "STORM_STORE" not in plain
    assert "our-s3" not in plain


def test_person_is_told_which_secrets_with_which_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline, _ = compiled(tmp_path / "p.yaml", *FLAGS, "--service-account", "our-runner")
    told = capsys.readouterr().out
    for place in (told, pipeline["pipelineInfo"]["description"]):
        for kind, name in NAMED.items():
            (line,) = (line for line in place.splitlines() if f"secret {name} " in line)
            assert all(key in line for key in (*SECRETS[kind].required, *SECRETS[kind].optional)), line
        assert "service account our-runner" in place


@pytest.mark.parametrize("name", ["", "Our-S3", "a_b", "-a", "a/b", "x" * 254, "a..b"])
@pytest.mark.parametrize("flag", ["--s3-secret", "--service-account"])
def test_name_that_kubernetes_does_not_take_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, name: str
) -> None:
    arguments = ["--recipe", str(ROOT / "recipes" / "smoke.yaml"), "--output", str(tmp_path / "p.yaml")]
    assert main(["compile", *arguments, f"{flag}={name}"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "must be a valid Kubernetes name" in error
    assert not (tmp_path / "p.yaml").exists()


def warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str], *more: str, **arguments: str) -> list[str]:
    """What compiling the demo's recipe, with these arguments changed, warns of."""
    recipe = {**yaml.safe_load((ROOT / "recipes" / "smoke.yaml").read_text()), **arguments}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    compiled(tmp_path / "p.yaml", *more, recipe=tmp_path / "recipe.yaml")
    return capsys.readouterr().err.splitlines()


def test_person_is_warned_of_what_will_stop_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (paths, store) = warnings(tmp_path, capsys)
    assert "no pod has the paths of base_model, sibling_model, data" in paths
    assert "no --store" in store
    uris = dict.fromkeys(("base_model", "sibling_model", "data"), "s3://bucket/model/1")
    (identity,) = warnings(tmp_path, capsys, "--store", "s3://bucket", **uris)
    assert "no --s3-secret" in identity
    named = ("--store", "s3://bucket", "--s3-secret", "our-s3")
    assert warnings(tmp_path, capsys, *named, **uris) == []
    (key,) = warnings(tmp_path, capsys, *named, **uris, score_engine="openai")
    assert "no --judge-secret" in key
    assert warnings(tmp_path, capsys, *named, "--judge-secret", "key", **uris, score_engine="openai") == []


@pytest.mark.parametrize(
    ("flag", "value", "reason"),
    [
        ("--store", "/data/store", "pods share no disk"),
        ("--store", "file:///data/store", "pods share no disk"),
        ("--store", "s3://", "s3://"),
        ("--store", "s3://user:hunter2@bucket/x", "bucket"),
        ("--store", "", "pods share no disk"),
        ("--tracking-uri", "sqlite:///mlflow.db", "must be http://host"),
        ("--tracking-uri", "", "must be http://host"),
        ("--tracking-uri", "http://user:hunter2@mlflow:5000", "--mlflow-secret"),
    ],
)
def test_address_that_no_pod_reaches_or_that_holds_a_secret_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str, reason: str
) -> None:
    arguments = ["--recipe", str(ROOT / "recipes" / "smoke.yaml"), "--output", str(tmp_path / "p.yaml")]
    assert main(["compile", *arguments, flag, value]) == 1
    error = capsys.readouterr().err
    assert reason in error
    assert "hunter2" not in error
    assert not (tmp_path / "p.yaml").exists()


def test_output_that_cannot_be_written_is_an_error_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.yaml").mkdir()
    recipe = str(ROOT / "recipes" / "smoke.yaml")
    assert main(["compile", "--recipe", recipe, "--output", str(tmp_path / "p.yaml")]) == 1
    assert "cannot write" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["p.yaml"]


def test_without_a_profile_tasks_ask_for_what_the_demo_took(documents: list[dict[str, Any]]) -> None:
    pipeline, _ = documents
    profile = load_profile(DEFAULT)
    for name, verb in verbs(pipeline).items():
        asked = pipeline["deploymentSpec"]["executors"][name]["container"]["resources"]
        expected = profile.task(verb)
        assert asked["resourceCpuRequest"] == expected.cpu_request
        assert asked["resourceCpuLimit"] == expected.cpu_limit
        assert asked["resourceMemoryRequest"] == expected.memory_request
        assert "accelerator" not in asked


def test_every_pod_knows_the_run_that_it_is_part_of(documents: list[dict[str, Any]]) -> None:
    _, platform = documents
    for executor in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        (field,) = executor["fieldPathAsEnv"]
        assert field == {"name": "STORM_KFP_RUN_ID", "fieldPath": "metadata.labels['pipeline/runid']"}


def test_earlier_output_stays_where_compiling_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "p.yaml"
    output.write_text("earlier")
    arguments = ["compile", "--recipe", str(ROOT / "recipes" / "smoke.yaml"), "--output", str(output)]
    metadata = tmp_path / "digests.json"
    metadata.write_text(json.dumps({"vllm": {"image.name": VLLM, "containerimage.digest": "sha256:1"}}))
    assert main([*arguments, "--registry", "ghcr.io/someone", "--digests", str(metadata)]) == 1
    assert "holds no digest for" in capsys.readouterr().err
    assert output.read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digests.json", "p.yaml"]
