"""A cluster's namespace with an S3 server and an MLflow server in it, and the recipe run there once."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from components.images import TRAINING
from pipelines.__main__ import main
from storm_core import __version__
from storm_core.log_lines import TASK_NAME_VARIABLE
from tests.integration import flows, kfp_pod, overlays, queues
from tests.integration.cluster import Cluster, namespace
from tests.integration.parents import QUESTIONS, make_parents
from tests.integration.pods import Walk, run_compiled
from tests.integration.trainings import Trainings, make_inputs
from tests.pipelines.conftest import BFCL, SUITE, first_lines

ROOT = Path(__file__).parents[2]
# Where the cluster pulls the images from; without one, its nodes must have them.
REGISTRY = os.environ.get("STORM_REGISTRY", "")
SERVICE_ACCOUNT = "pipeline-runner"
BUCKET, PREFIX = "models", "team"
TRAININGS = "trainings"
MLFLOW_USER = "storm"
SECRETS = {"s3": "storm-s3", "hub": "storm-hub", "judge": "storm-judge", "mlflow": "storm-mlflow"}
PLACES = {
    "name": "places",
    "title": "Places",
    "kind": "lm_eval",
    "task": "storm_places",
    "metric": "acc",
    "num_fewshot": 0,
    "apply_chat_template": True,
    "fewshot_as_multiturn": False,
    "batch_size": 12,
    "questions": {
        "path": "places.yml",
        "samples": 12,
        "distractors": 3,
        "definition": {
            "output_type": "multiple_choice",
            "doc_to_text": "{{question}}",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": "{{answer}}",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        },
    },
}


@dataclass(frozen=True)
class Servers:
    """Both servers, as this machine reaches them, and what lets one in.

    Attributes:
        values: every secret value of the namespace, by what it is.
    """

    s3: str
    mlflow: str
    environment: dict[str, str]
    values: dict[str, str]


@dataclass(frozen=True)
class Finished:
    """The recipe as it ran on the cluster: what was compiled, each task, and the directory that kfp.local left.

    Attributes:
        connections: those made meanwhile, as conntrack writes them; no file where they were not recorded.
    """

    compiled: Path
    walk: Walk
    root: Path
    outputs: dict[str, Any]
    connections: Path


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A namespace of our own, with the service account that pods run as and with the base of `manifests/`."""
    with namespace() as made:
        made.add_service_account(SERVICE_ACCOUNT)
        overlays.apply(made, overlays.kustomize(tmp_path_factory.mktemp("base"), made.namespace, "base"))
        yield made


@pytest.fixture(scope="session")
def servers(cluster: Cluster) -> Iterator[Servers]:
    """S3 and MLflow in the namespace, each behind a password, and the secrets that let the tasks in."""
    values = {name: secrets.token_urlsafe(24) for name in ("s3", "mlflow", "hub", "judge", "session")}
    identity = {"accessKey": "storm", "secretKey": values["s3"]}
    rights = {"identities": [{"name": "storm", "credentials": [identity], "actions": ["Admin"]}]}
    cluster.add_secret("s3-identities", {"identities.json": json.dumps(rights)})
    cluster.add_secret("mlflow-auth", {"auth.ini": auth_settings(values["mlflow"]), "secret-key": values["session"]})
    keys = _s3_keys(values["s3"])
    user = {"MLFLOW_TRACKING_USERNAME": MLFLOW_USER, "MLFLOW_TRACKING_PASSWORD": values["mlflow"]}
    cluster.add_secret(SECRETS["s3"], {**keys, "AWS_ENDPOINT_URL_S3": "http://s3:8333"})
    cluster.add_secret(SECRETS["mlflow"], user)
    cluster.add_secret(SECRETS["hub"], {"HF_TOKEN": values["hub"]})
    cluster.add_secret(SECRETS["judge"], {"OPENAI_API_KEY": values["judge"]})
    text = Path(__file__).with_name("servers.yaml").read_text(encoding="utf-8")
    cluster.apply(text.replace("{image}", servers_image()))
    for name in ("s3", "mlflow"):
        cluster.wait_until_ready(name)
    with cluster.forwarded("s3", 8333) as s3, cluster.forwarded("mlflow", 5000) as mlflow:
        environment = {**keys, **user, "AWS_ENDPOINT_URL_S3": f"http://{s3}", "MLFLOW_TRACKING_URI": f"http://{mlflow}"}
        yield Servers(s3=f"http://{s3}", mlflow=f"http://{mlflow}", environment=environment, values=values)


def servers_image() -> str:
    """The image that holds both servers."""
    return f"{REGISTRY.rstrip('/')}/storm-servers:{__version__}".lstrip("/")


def s3_secret(servers: Servers, endpoint: str) -> dict[str, str]:
    """The keys of a secret that lets a task in to the S3 server, by another way."""
    return {**_s3_keys(servers.values["s3"]), "AWS_ENDPOINT_URL_S3": endpoint}


def _s3_keys(password: str) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": "storm", "AWS_SECRET_ACCESS_KEY": password, "AWS_REGION": "us-east-1"}


def auth_settings(password: str, user: str = MLFLOW_USER) -> str:
    """What MLflow's server with users starts from: who administers it, and that nobody else may do anything."""
    lines = {
        "default_permission": "NO_PERMISSIONS",
        "database_uri": "sqlite:////data/auth.db",
        "admin_username": user,
        "admin_password": password,
        # Each check of a password takes a second.
        "auth_cache_ttl_seconds": "600",
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
    }
    return "[mlflow]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items())


@pytest.fixture(scope="session")
def recipe(servers: Servers, tiny_tokenizer_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe whose models and data lie in the store."""
    directory = tmp_path_factory.mktemp("recipe")
    s3_client(servers).create_bucket(Bucket=BUCKET)
    base, sibling = make_parents(directory / "models", tiny_tokenizer_directory)
    arguments = {
        "base_model": _pushed(servers, base, "model"),
        "sibling_model": _pushed(servers, sibling, "model"),
        "data": _pushed(servers, _data(directory / "data"), "data"),
        "prepare_sources": ["chat=messages:chats.jsonl", "tools=bfcl:bfcl#live_simple"],
        "prepare_held_out": ["bfcl:bfcl#simple_python"],
        "prepare_shards": 2,
        "score_min_educational_value": 1.0,
        "select_min_educational_value": 1.0,
        "select_difficulties": ["easy", "medium", "hard"],
        "select_validation_fraction": 0.2,
        "train_epochs": 1.0,
        # So little that the tuned model stays where its half of the way begins.
        "train_learning_rate": 1e-6,
        "train_evaluations": 1,
        "evaluate_suite": "suite.yaml",
        "register_registered_model_name": "tiny",
    }
    path = directory / "cluster.yaml"
    path.write_text(yaml.safe_dump(arguments), encoding="utf-8")
    return path


def _data(directory: Path) -> Path:
    for category in ("simple_python", "live_simple"):
        for folder in (".", "possible_answer"):
            name = f"{folder}/BFCL_v4_{category}.json"
            first_lines(BFCL / name, directory / "bfcl" / name, 8)
    turns = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in QUESTIONS]
    (directory / "chats.jsonl").write_text("".join(json.dumps({"messages": one}) + "\n" for one in turns))
    (directory / "places.yml").write_text(yaml.safe_dump({"conversations": [list(pair) for pair in QUESTIONS]}))
    suite = {**SUITE, "benchmarks": [PLACES, *SUITE["benchmarks"]]}
    (directory / "suite.yaml").write_text(yaml.safe_dump(suite))
    return directory


def _pushed(servers: Servers, directory: Path, kind: str) -> str:
    """The URI of the directory's copy in the store."""
    return storm_artifact(servers, "push", str(directory), "--kind", kind)


def storm_artifact(servers: Servers, *arguments: str, store: str = f"s3://{BUCKET}/{PREFIX}") -> str:
    """What `storm artifact` answers somebody on this machine who has the secrets."""
    command = [sys.executable, "-m", "storm_core.cli", "artifact", *arguments]
    environment = {**os.environ, **servers.environment, "STORM_STORE": store}
    finished = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def _collect_garbage(servers: Servers, walk: Walk, task: str) -> None:
    """Collect garbage while the run is half way: nothing that it made or needs may go."""
    if task == "train":
        prepared = next(ended for ended in walk.ended if ended.task == "prepare")
        (examples,) = prepared.executor_output["artifacts"]["examples"]["artifacts"]
        storm_artifact(servers, "gc", "--keep", examples["metadata"]["store_uri"], "--delete")


@pytest.fixture(scope="session")
def finished(cluster: Cluster, servers: Servers, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The whole graph of the compiled recipe, each task a pod."""
    directory = tmp_path_factory.mktemp("run")
    compiled = directory / "storm.yaml"
    executors = compile_executors(recipe, compiled)
    (directory / "logs").mkdir()
    walk = Walk(
        cluster=cluster,
        executors=executors,
        service_account=SERVICE_ACCOUNT,
        logs=directory / "logs",
    )
    walk.between = partial(_collect_garbage, servers, walk)
    connections = directory / "connections"
    with flows.recorded(connections):
        outputs = run_compiled(compiled, walk, directory / "kfp")
    return Finished(compiled=compiled, walk=walk, root=directory / "kfp", outputs=outputs, connections=connections)


def compile_executors(recipe: Path, compiled: Path, *flags: str) -> dict[str, kfp_pod.Executor]:
    """Compile the recipe for this namespace, to the file `compiled`; how each task is run."""
    arguments = ["compile", "--recipe", str(recipe), "--output", str(compiled), "--store", f"s3://{BUCKET}/{PREFIX}"]
    arguments += ["--tracking-uri", "http://mlflow:5000", "--service-account", SERVICE_ACCOUNT]
    arguments += [part for kind, name in SECRETS.items() for part in (f"--{kind}-secret", name)]
    assert main([*arguments, *(["--registry", REGISTRY] if REGISTRY else []), *flags]) == 0
    return read_executors(compiled)


def read_executors(compiled: Path) -> dict[str, kfp_pod.Executor]:
    """How each task of a compiled pipeline is run."""
    pipeline, platform = yaml.safe_load_all(compiled.read_text(encoding="utf-8"))
    return kfp_pod.executors(pipeline, platform, TASK_NAME_VARIABLE)


@pytest.fixture
def as_user(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Servers:
    """The environment of somebody who has the secrets, on this machine."""
    for name, value in servers.environment.items():
        monkeypatch.setenv(name, value)
    return servers


@pytest.fixture(scope="session")
def trainings(
    cluster: Cluster, servers: Servers, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory
) -> Trainings:
    """What is trained on nodes, in a store of its own, in the namespace with our TrainingRuntime."""
    if not overlays.has_kind("trainjobs.trainer.kubeflow.org"):
        pytest.skip("this cluster has no Kubeflow Trainer")
    directory = tmp_path_factory.mktemp("trainings")
    overlays.apply(cluster, overlays.kustomize(directory, cluster.namespace, "base", components=("training",)))
    s3_client(servers).create_bucket(Bucket=TRAININGS)
    store = f"s3://{TRAININGS}/team"
    return Trainings(
        cluster=cluster,
        image=f"{REGISTRY.rstrip('/')}/{TRAINING}".lstrip("/"),
        inputs=push_all(servers, make_inputs(directory, tiny_llama), store),
        store=store,
        secret=SECRETS["s3"],
        service_account=SERVICE_ACCOUNT,
    )


@pytest.fixture
def queue(trainings: Trainings) -> Iterator[queues.Queue]:
    """A queue of Kueue that admits next to nothing."""
    with queues.queue_in(trainings.cluster.namespace) as made:
        yield made


def push_all(servers: Servers, inputs: Mapping[str, Path], store: str) -> dict[str, str]:
    """The URIs of copies in the store, by what they are."""
    return {
        name: storm_artifact(servers, "push", str(path), "--kind", name, store=store) for name, path in inputs.items()
    }


def s3_client(servers: Servers) -> Any:
    """A client of the namespace's S3 server."""
    return boto3.client(
        "s3",
        endpoint_url=servers.s3,
        aws_access_key_id="storm",
        aws_secret_access_key=servers.values["s3"],
        region_name="us-east-1",
    )
