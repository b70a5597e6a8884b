"""Two namespaces on one S3 server and one MLflow: each registers its model, and neither touches what is the other's."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from mlflow import MlflowClient

from pipelines.s3_server import WRITER, identities
from storm_core.artifacts import open_directory
from storm_core.stores.references import open_store
from tests.integration import kfp_pod, overlays
from tests.integration.cluster import Cluster, namespace
from tests.integration.conftest import SECRETS, auth_settings, compile_executors, servers_image
from tests.promotion.conftest import evaluations, promotion  # noqa: F401 (fixtures)
from tests.stores.teams import BUCKET, ONE, OTHER, add_mlflow_user, policy, store

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
SERVICE_ACCOUNT = "default-editor"
TEAMS = ONE, OTHER


@dataclass(frozen=True)
class Servers:
    """Both servers as this machine reaches them, and who may use them.

    Attributes:
        passwords: of both servers, by user.
    """

    s3: str
    mlflow: str
    passwords: dict[str, str]

    def environment(self, user: str) -> dict[str, str]:
        """What lets a user in, on this machine."""
        return {
            **user_keys(user, self.passwords[user]),
            **login(user, self.passwords[user]),
            "AWS_ENDPOINT_URL_S3": self.s3,
            "MLFLOW_TRACKING_URI": self.mlflow,
        }


def user_keys(user: str, password: str) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": user, "AWS_SECRET_ACCESS_KEY": password, "AWS_REGION": "us-east-1"}


def login(user: str, password: str) -> dict[str, str]:
    return {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}


@pytest.fixture(scope="module")
def place() -> Iterator[Cluster]:
    """The servers' namespace."""
    with namespace() as made:
        yield made


@pytest.fixture(scope="module")
def shared(place: Cluster) -> Iterator[Servers]:
    passwords = {user: secrets.token_urlsafe(24) for user in (WRITER, *TEAMS)}
    users = identities(passwords, {team: policy(team) for team in TEAMS})
    place.add_secret("s3-identities", {"identities.json": users})
    auth = auth_settings(passwords[WRITER], user=WRITER)
    place.add_secret("mlflow-auth", {"auth.ini": auth, "secret-key": secrets.token_urlsafe(24)})
    text = (ROOT / "tests" / "integration" / "servers.yaml").read_text(encoding="utf-8")
    hosts = f"--allowed-hosts=mlflow.{place.namespace}:5000,"
    place.apply(text.replace("{image}", servers_image()).replace("--allowed-hosts=", hosts))
    for name in ("s3", "mlflow"):
        place.wait_until_ready(name)
    with place.forwarded("s3", 8333) as s3, place.forwarded("mlflow", 5000) as mlflow:
        servers = Servers(f"http://{s3}", f"http://{mlflow}", passwords)
        bucket_of(servers).create_bucket(Bucket=BUCKET)
        for team in TEAMS:
            add_mlflow_user(servers.mlflow, WRITER, passwords, team)
        yield servers


def bucket_of(servers: Servers) -> Any:
    """A client that may do everything."""
    return boto3.client(
        "s3",
        endpoint_url=servers.s3,
        aws_access_key_id=WRITER,
        aws_secret_access_key=servers.passwords[WRITER],
        region_name="us-east-1",
    )


class Team:
    """A team's namespace, with secrets of its own, and the pods of its stages."""

    def __init__(self, name: str, cluster: Cluster, executors: dict[str, kfp_pod.Executor]) -> None:
        self.name = name
        self.cluster = cluster
        self._executors = executors

    def run(self, task: str, *command: str) -> tuple[bool, str]:
        """Run a command in the pod that KFP makes of a task; whether it ended well, and its log."""
        name = f"{task}-{secrets.token_hex(3)}"
        pod = kfp_pod.pod(name, self._executors[task], [], service_account=SERVICE_ACCOUNT)
        pod["spec"]["containers"][0]["command"] = list(command)
        pod["spec"]["volumes"][0] = {"name": "kfp-launcher", "emptyDir": {}}
        self.cluster.add_pod(pod)
        return self.cluster.wait_until_over(name), self.cluster.log(name)


@pytest.fixture(scope="module")
def teams(place: Cluster, shared: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Team]]:
    with namespace() as one, namespace() as other:
        made = {}
        for name, cluster in zip(TEAMS, (one, other), strict=True):
            directory = tmp_path_factory.mktemp(name)
            cluster.add_service_account(SERVICE_ACCOUNT)
            text = overlays.kustomize(directory, cluster.namespace, "overlays/multi-user", components=("limits",))
            overlays.apply(cluster, text)
            keys = user_keys(name, shared.passwords[name])
            cluster.add_secret(SECRETS["s3"], {**keys, "AWS_ENDPOINT_URL_S3": f"http://s3.{place.namespace}:8333"})
            cluster.add_secret(SECRETS["mlflow"], login(name, shared.passwords[name]))
            made[name] = Team(name, cluster, executors_of(name, place, directory))
        yield made


def executors_of(team: str, place: Cluster, directory: Path) -> dict[str, kfp_pod.Executor]:
    """The shipped recipe, compiled by the team's profile."""
    profile = {
        "store": store(team),
        "registered_model_name": team,
        "default": {"environment": {"MLFLOW_EXPERIMENT_NAME": team}, "memory_request": "1Gi", "cpu_request": "200m"},
    }
    (directory / "team.yaml").write_text(json.dumps(profile), encoding="utf-8")
    flags = ["--profile", str(directory / "team.yaml"), "--store", store(team)]
    flags += ["--tracking-uri", f"http://mlflow.{place.namespace}:5000"]
    return compile_executors(ROOT / "recipes" / "smoke.yaml", directory / "storm.yaml", *flags)


@pytest.fixture
def models(shared: Servers, promotion: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:  # noqa: F811
    """The flags of `register` by team: its models, their evaluations and the decision, in its store."""
    found = {}
    for generation, team in enumerate(TEAMS, 1):
        made = promotion(generation)
        for name, value in {**shared.environment(team), "STORM_CACHE": str(tmp_path / f"cache-{team}")}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("MLFLOW_TRACKING_URI")  # The pods log, and nobody else.
        flags = []
        for option, (path,) in made.items():
            directory = Path(path)
            published = open_store(store(team)).publish_copy(directory, open_directory(directory).manifest)
            flags += [f"--{option.replace('_', '-')}", published.uri]
        found[team] = flags
    return found


def state(servers: Servers, team: str) -> tuple[dict[str, str], dict[str, str]]:
    """The objects of the team's store, and the aliases of its registered model."""
    listed = bucket_of(servers).list_objects_v2(Bucket=BUCKET, Prefix=f"{team}/")["Contents"]
    aliases = MlflowClient(servers.mlflow).get_registered_model(team).aliases
    return {one["Key"]: one["ETag"] for one in listed}, {alias: str(version) for alias, version in aliases.items()}


def test_two_namespaces_register_their_models_and_neither_touches_what_is_the_other_s(
    shared: Servers, teams: dict[str, Team], models: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, team in teams.items():
        flags = [*models[name], "--registered-model-name", name, "--registration"]
        ended_well, log = team.run("register", "storm", "register", *flags, "/tmp/registration")  # noqa: S108
        assert ended_well, log
    for name, value in login(WRITER, shared.passwords[WRITER]).items():
        monkeypatch.setenv(name, value)
    before = {name: state(shared, name) for name in TEAMS}
    for _, aliases in before.values():
        assert aliases == {"candidate": "1", "champion": "1"}

    team = teams[OTHER]
    theirs = models[ONE][1]
    for command, said in (
        (("storm", "artifact", "pull", theirs, "/tmp/copy"), f"denies access to {store(ONE)}"),  # noqa: S108
        (("storm", "artifact", "gc", store(ONE), "--keep-days", "0", "--delete"), f"denies access to {store(ONE)}"),
        (
            ("storm", "register", *models[OTHER], "--registered-model-name", ONE, "--registration", "/tmp/wrong"),  # noqa: S108
            "Permission denied",
        ),
    ):
        ended_well, log = team.run("register", *command)
        assert not ended_well
        assert said in log and "Traceback" not in log, log
    ended_well, log = team.run(
        "register", "storm", "artifact", "gc", "--keep-days", "0", "--keep-registered", "--delete"
    )
    assert ended_well, log
    after = {name: state(shared, name) for name in TEAMS}
    assert after[ONE] == before[ONE]
    assert after[OTHER][1] == before[OTHER][1]
