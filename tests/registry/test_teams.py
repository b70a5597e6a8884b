"""Two teams on one MLflow server with users and one bucket: what one does leaves the other's models and aliases."""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pipelines.s3_server import S3Server
from storm_core.artifacts import open_directory
from storm_core.cli import main
from storm_core.errors import InputError
from storm_core.execution import execute
from storm_core.registry.config import REGISTER, RegisterConfig
from storm_core.stores.references import open_reference, open_store
from storm_core.stores.registrations import Registration, note_registration
from tests.s3_clients import administrator
from tests.stores.conftest import digest_in, make
from tests.stores.teams import BUCKET, ONE, OTHER, add_mlflow_user, log_in, objects, policy, store
from tests.tracking.conftest import Server

pytestmark = pytest.mark.slow
ADMINISTRATOR = "administrator"


@dataclass(frozen=True)
class Servers:
    """Both servers, and the password of each user of MLflow."""

    s3: S3Server
    mlflow: str
    passwords: dict[str, str]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, empty_registry: Path) -> Iterator[Servers]:
    directory = tmp_path_factory.mktemp("mlflow")
    (directory / "mlflow.db").write_bytes(empty_registry.read_bytes())
    passwords = {name: secrets.token_urlsafe(24) for name in (ADMINISTRATOR, ONE, OTHER)}
    (directory / "auth.ini").write_text(_auth(directory, passwords[ADMINISTRATOR]), encoding="utf-8")
    tracking = Server(directory, "--app-name=basic-auth")
    with (
        pytest.MonkeyPatch.context() as patch,
        S3Server(directory / "s3", policies={ONE: policy(ONE), OTHER: policy(OTHER)}) as s3,
    ):
        administrator(s3).create_bucket(Bucket=BUCKET)
        patch.setenv("MLFLOW_AUTH_CONFIG_PATH", str(directory / "auth.ini"))
        patch.setenv("MLFLOW_FLASK_SERVER_SECRET_KEY", secrets.token_urlsafe(24))
        tracking.start()
        try:
            for team in (ONE, OTHER):
                add_mlflow_user(tracking.url, ADMINISTRATOR, passwords, team)
            yield Servers(s3, tracking.url, passwords)
        finally:
            tracking.stop()


def _auth(directory: Path, password: str) -> str:
    lines = {
        "default_permission": "NO_PERMISSIONS",
        "database_uri": f"sqlite:///{directory}/auth.db",
        "admin_username": ADMINISTRATOR,
        "admin_password": password,
        # Each check of a password takes a second.
        "auth_cache_ttl_seconds": "600",
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
    }
    return "[mlflow]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items())


@pytest.fixture
def as_team(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Work as a team: its keys, store, user and experiment."""

    def become(team: str) -> None:
        log_in(monkeypatch, servers.s3, team, team, tmp_path / "caches")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", servers.mlflow)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", team)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", servers.passwords[team])
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", team)

    return become


@pytest.fixture
def made(promotion: Any) -> Callable[[str, int], dict[str, list[str]]]:
    """What `register` takes, its models in the team's store."""

    def make(team: str, generation: int) -> dict[str, list[str]]:
        inputs: dict[str, list[str]] = promotion(generation)
        for role in ("merged", "quantized"):
            directory = Path(inputs[f"{role}_model"][0])
            published = open_store(store(team)).publish_copy(directory, open_directory(directory).manifest)
            inputs[f"{role}_model"] = [published.uri]
        return inputs

    return make


def register(directory: Path, inputs: dict[str, list[str]], name: str) -> list[dict[str, Any]]:
    """Register both models; the versions."""
    config = RegisterConfig(registered_model_name=name)
    execute(REGISTER, config, inputs=inputs, outputs={"registration": directory}, value_files={})
    written = json.loads(open_reference(str(directory)).file("registration.json").read_text(encoding="utf-8"))
    return list(written["versions"])


def aliases(servers: Servers, team: str) -> dict[str, str]:
    """The aliases of the team's registered model, as its own user sees them."""
    found = MlflowClient(servers.mlflow).get_registered_model(team).aliases
    return {alias: str(version) for alias, version in found.items()}


@pytest.fixture
def both(servers: Servers, as_team: Callable[[str], None], made: Any, tmp_path: Path) -> dict[str, str]:
    """Each team has registered; works as the second one now. What lies in the first one's store."""
    for generation, team in enumerate((ONE, OTHER), 1):
        as_team(team)
        versions = register(tmp_path / team, made(team, generation), team)
        assert all(version["source"].startswith(f"{store(team)}/") for version in versions)
        assert aliases(servers, team)["champion"] in [version["version"] for version in versions]
    return objects(servers.s3, ONE)


def test_each_team_has_a_champion_and_registering_one_leaves_the_other_s(
    servers: Servers, both: dict[str, str], as_team: Callable[[str], None], made: Any, tmp_path: Path
) -> None:
    as_team(ONE)
    before = aliases(servers, ONE)
    as_team(OTHER)
    register(tmp_path / "next", made(OTHER, 3), OTHER)
    assert {version.name for version in MlflowClient(servers.mlflow).search_model_versions()} == {OTHER}
    as_team(ONE)
    assert aliases(servers, ONE) == before
    assert objects(servers.s3, ONE) == both


def test_registering_under_another_team_s_name_is_refused_in_a_line(
    servers: Servers, both: dict[str, str], as_team: Callable[[str], None], made: Any, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="ask for the right to edit the registered model team, or give another"):
        register(tmp_path / "wrong", made(OTHER, 2), ONE)
    client = MlflowClient(servers.mlflow)
    for attempt in (
        lambda: client.set_registered_model_alias(ONE, "champion", "2"),
        lambda: client.delete_registered_model_alias(ONE, "champion"),
        lambda: client.delete_registered_model(ONE),
        lambda: client.create_run(_experiment(servers, as_team, ONE)),
    ):
        with pytest.raises(MlflowException, match="Permission denied"):
            attempt()
    as_team(ONE)
    assert aliases(servers, ONE) == {"candidate": "1", "champion": "1"}


def _experiment(servers: Servers, as_team: Callable[[str], None], team: str) -> str:
    as_team(team)
    found = MlflowClient(servers.mlflow).get_experiment_by_name(team)
    as_team(OTHER)
    assert found is not None
    return str(found.experiment_id)


def test_another_team_s_experiment_is_refused_in_a_line(
    both: dict[str, str], made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", ONE)
    with pytest.raises(InputError, match="ask for the right to edit the experiment, or name another"):
        register(tmp_path / "wrong", made(OTHER, 2), OTHER)


def test_gc_keeps_what_is_registered_where_this_user_may_not_look(
    servers: Servers, both: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    opened = open_store(store(OTHER))
    hidden, garbage = (make(store(OTHER), "model", content) for content in (b"hidden", b"garbage"))
    note = Registration(digest=digest_in(hidden), registry=servers.mlflow, name=ONE, decided_by=())
    note_registration(opened.ledger, note)
    registered = {place.location.uri for place in opened.places() if place.kind == "model"} - {garbage}
    assert main(["artifact", "gc", "--keep-days", "0", "--keep-registered", "--delete"]) == 0
    assert "registered as team at" in capsys.readouterr().err
    assert {place.location.uri for place in opened.places() if place.kind == "model"} == registered
    assert objects(servers.s3, ONE) == both
