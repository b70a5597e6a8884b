"""The compiled recipe on a real Kubernetes: every stage in a pod as KFP makes it, from raw data to a champion."""

import base64
import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from kubernetes import client
from mlflow import MlflowClient

from storm_core.stores.references import open_reference, open_store
from tests.integration import kfp_pod
from tests.integration.cluster import Cluster
from tests.integration.conftest import BUCKET, PREFIX, SECRETS, SERVICE_ACCOUNT, Finished, Servers

pytestmark = pytest.mark.cluster

EVALUATED = ("base", "sibling", "tuned", "merged", "quantized")
# Prints how many threads a stage would compute with.
THREADS = "from storm_core.threads import limit_threads; limit_threads(); import torch; print(torch.get_num_threads())"


def stage_pods(finished: Finished) -> dict[str, Any]:
    """The pods of the stages, as the API server has them."""
    names = {ended.pod for ended in finished.walk.ended}
    return {name: pod for name, pod in finished.walk.cluster.pods().items() if name in names}


def metadata(finished: Finished, task: str, output: str) -> dict[str, Any]:
    """What the pod of a task told KFP of one of its outputs."""
    (ended,) = (ended for ended in finished.walk.ended if ended.task == task)
    (artifact,) = ended.executor_output["artifacts"][output]["artifacts"]
    found: dict[str, Any] = artifact["metadata"]
    return found


def test_every_task_of_the_graph_ended_well_in_a_pod_of_its_own(finished: Finished) -> None:
    ran = [ended.task for ended in finished.walk.ended]
    assert set(ran) == set(finished.walk.executors)
    assert ran.count("score") == 2, "one for each shard"
    assert len(ran) == len(finished.walk.executors) + 1
    for earlier, later in [
        ("fetch-base", "score"),
        ("select", "train"),
        ("merge", "evaluate-merged"),
        ("gate", "register"),
    ]:
        assert ran.index(earlier) < ran.index(later)


def test_merged_model_is_the_registered_champion(finished: Finished, as_user: Servers) -> None:
    registry = MlflowClient()
    champion = registry.get_model_version_by_alias("tiny", "champion")
    merged = metadata(finished, "merge", "merged_model")
    assert champion.source == merged["store_uri"] == f"s3://{BUCKET}/{PREFIX}/model/{merged['digest']}"
    assert registry.get_model_version_by_alias("tiny", "candidate").version == champion.version
    assert len(registry.search_model_versions("name='tiny'")) == 2


def test_report_tells_that_the_merge_beat_its_parents(finished: Finished, as_user: Servers) -> None:
    report = open_reference(finished.outputs["report"].path)
    assert "<svg" in report.file("report.html").read_text(encoding="utf-8")
    scores = {name: metadata(finished, f"evaluate-{name}", "metrics")["places"] for name in EVALUATED}
    assert scores["merged"] == 1.0
    assert max(scores["base"], scores["sibling"], scores["tuned"]) < 1.0
    assert "Can this judge be trusted?" in open_reference(finished.outputs["audit"].path).file("judge.html").read_text()


def test_numbers_of_every_stage_arrive_as_metrics_and_kfp_s_own_output_is_left_alone(finished: Finished) -> None:
    for ended in finished.walk.ended:
        told = ended.executor_output["artifacts"]
        (metrics,) = told["metrics"]["artifacts"]
        assert metrics["type"]["schemaTitle"] == "system.Metrics"
        assert metrics["metadata"], ended.task
        assert all(type(value) in (int, float) for value in metrics["metadata"].values()), ended.task
        assert set(told) == set(ended.executor_input["outputs"]["artifacts"]), "executor-logs was added to them"
        assert kfp_pod.LOGS_OUTPUT not in told


def test_every_task_is_a_finished_run_in_mlflow_below_the_one_of_the_kfp_run(
    finished: Finished, as_user: Servers
) -> None:
    tracking = MlflowClient()
    experiments = [one.experiment_id for one in tracking.search_experiments()]
    runs = tracking.search_runs(experiments, max_results=1000)
    (parent,) = (run for run in runs if run.data.tags.get("kfp.pipeline_run_id") == finished.walk.run_id)
    stages = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert "mlflow.parentRunId" not in parent.data.tags
    assert {run.info.run_name for run in stages} == set(finished.walk.executors)
    assert {run.info.status for run in [parent, *stages]} == {"FINISHED"}


def test_run_in_mlflow_carries_the_recipe_s_arguments_and_the_headline_numbers(
    finished: Finished, as_user: Servers
) -> None:
    tracking = MlflowClient()
    experiments = [one.experiment_id for one in tracking.search_experiments()]
    mine = f"tags.`kfp.pipeline_run_id` = '{finished.walk.run_id}'"
    runs = tracking.search_runs(experiments, filter_string=mine)
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    assert parent.data.params["train_learning_rate"] == "1e-06"
    assert {"base_model", "sibling_model", "data", "score_min_educational_value"} <= set(parent.data.params)
    assert parent.data.metrics["merged_average"] == metadata(finished, "evaluate-merged", "metrics")["mean"]
    assert parent.data.metrics["rows_kept"] == metadata(finished, "select", "metrics")["kept"]
    assert parent.data.metrics["gate_passed"] == 1.0
    assert {f"{name}_average" for name in EVALUATED} | {"tokens_trained"} <= set(parent.data.metrics)


def test_pods_ask_for_what_the_compiled_pipeline_says(finished: Finished) -> None:
    by_name = {ended.pod: ended.task for ended in finished.walk.ended}
    for name, pod in stage_pods(finished).items():
        compiled = finished.walk.executors[by_name[name]].container["resources"]
        (container,) = pod["spec"]["containers"]
        assert container["resources"]["requests"] == {
            "cpu": compiled["resourceCpuRequest"],
            "memory": compiled["resourceMemoryRequest"],
        }
        assert container["resources"]["limits"] == {"cpu": compiled["resourceCpuLimit"]}
        assert pod["status"]["qosClass"] == "Burstable"
        assert pod["spec"]["serviceAccountName"] == SERVICE_ACCOUNT


def test_credentials_reach_a_pod_by_the_secret_s_name(finished: Finished) -> None:
    for pod in stage_pods(finished).values():
        (container,) = pod["spec"]["containers"]
        keys = {
            variable["name"]: variable["valueFrom"]["secretKeyRef"]["name"]
            for variable in container["env"]
            if "secretKeyRef" in variable.get("valueFrom", {})
        }
        assert keys["AWS_SECRET_ACCESS_KEY"] == SECRETS["s3"]
        assert keys["MLFLOW_TRACKING_PASSWORD"] == SECRETS["mlflow"]
        assert not set(keys) & {variable["name"] for variable in container["env"] if "value" in variable}


# What is no secret and stands in every kind of place, so that a search that finds nothing has looked there.
KNOWN = {
    "pod": "STORM_STORE",
    "log of": ": done in ",
    "event": "Created container",
    "config map": "launcher.py",
    "file": "secretAsEnv",
    "object": '"producer"',
    "MLflow run": "storm.stage",
    "MLflow version": "storm.decision",
    "MLflow file": "</html>",
}


@pytest.fixture(scope="module")
def places(finished: Finished, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The text of everything that the run left, by what it is."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in servers.environment.items():
            patch.setenv(name, value)
        cluster = finished.walk.cluster
        found = {f"pod {name}": json.dumps(pod) for name, pod in cluster.pods().items()}
        found |= {f"log of {name}": cluster.log(name) for name in cluster.pods()}
        found |= {f"event {number}": text for number, text in enumerate(cluster.events())}
        found |= {f"config map {number}": text for number, text in enumerate(cluster.config_maps())}
        files = (path for path in finished.compiled.parent.rglob("*") if path.is_file())
        found |= {f"file {path}": path.read_text(encoding="utf-8", errors="replace") for path in files}
        found |= {f"object {key}": text for key, text in objects(servers).items()}
        found |= {f"MLflow {name}": text for name, text in tracked(tmp_path_factory.mktemp("mlflow")).items()}
    return found


def objects(servers: Servers) -> dict[str, str]:
    """Every object of the bucket."""
    s3 = boto3.client("s3", endpoint_url=servers.s3)
    listed = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    keys = [one["Key"] for page in listed for one in page.get("Contents", [])]
    return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode(errors="replace") for key in keys}


def tracked(directory: Path) -> dict[str, str]:
    """Every field of every run and model version, and every file kept with a run."""
    tracking = MlflowClient()
    experiments = [one.experiment_id for one in tracking.search_experiments()]
    runs = tracking.search_runs(experiments, max_results=1000)
    found = {f"run {run.info.run_id}": str(run.to_dictionary()) for run in runs}
    found |= {f"version {one.version}": str(dict(one)) for one in tracking.search_model_versions()}
    for run in runs:
        for file in tracking.list_artifacts(run.info.run_id):
            path = Path(tracking.download_artifacts(run.info.run_id, file.path, str(directory)))
            found[f"file {run.info.run_id}/{file.path}"] = path.read_text(encoding="utf-8", errors="replace")
    return found


@pytest.mark.parametrize("kind", KNOWN)
def test_search_for_secrets_looks_everywhere(places: dict[str, str], kind: str) -> None:
    assert any(KNOWN[kind] in text for place, text in places.items() if place.startswith(f"{kind} "))


def test_no_secret_s_value_is_in_any_pod_log_manifest_artifact_or_mlflow_field(
    places: dict[str, str], servers: Servers
) -> None:
    for what, value in servers.values.items():
        forms = (value, base64.b64encode(value.encode()).decode().rstrip("="))
        assert [place for place, text in places.items() if any(form in text for form in forms)] == [], what


def test_namespace_is_restricted(cluster: Cluster) -> None:
    image = {"name": "main", "image": "storm-core"}
    with pytest.raises(client.ApiException) as refused:
        cluster.add_pod({"metadata": {"name": "unrestricted"}, "spec": {"containers": [image]}})
    assert refused.value.status == 403
    assert "restricted" in str(refused.value.body)


@pytest.mark.parametrize("limit", ["1", "500m"])
def test_threads_follow_the_cpu_limit_of_the_pod(finished: Finished, limit: str) -> None:
    cluster, executor = finished.walk.cluster, finished.walk.executors["scan"]
    asked = {**executor.container["resources"], "resourceCpuLimit": limit, "resourceCpuRequest": "100m"}
    limited = kfp_pod.Executor({**executor.container, "resources": asked}, executor.kubernetes)
    name = f"threads-{limit}"
    manifest = kfp_pod.pod(name, limited, [], service_account=SERVICE_ACCOUNT)
    manifest["spec"]["containers"][0]["command"] = ["python3", "-c", THREADS]
    manifest["spec"]["volumes"][0] = {"name": "kfp-launcher", "emptyDir": {}}
    cluster.add_pod(manifest)
    assert cluster.wait_until_over(name)
    assert cluster.log(name) == "1\n"


def test_store_holds_what_the_pods_published_and_nothing_unfinished(finished: Finished, as_user: Servers) -> None:
    kinds = {place.kind for place in open_store(f"s3://{BUCKET}/{PREFIX}").places()}
    assert kinds >= {"model", "examples", "verdicts", "selection", "scan", "training", "evaluation", "report"}
    assert "Uploads" not in boto3.client("s3", endpoint_url=as_user.s3).list_multipart_uploads(Bucket=BUCKET)
