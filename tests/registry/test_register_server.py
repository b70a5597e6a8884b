"""Against a real `mlflow server` over HTTP."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from storm_core.errors import InputError
from storm_core.execution import execute
from storm_core.registry.config import REGISTER, RegisterConfig
from storm_core.registry.model_versions import ModelEntry, register_version

pytestmark = pytest.mark.slow
SECONDS_TO_START = 180


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_registry: Path) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    database = directory / "mlflow.db"
    database.write_bytes(empty_registry.read_bytes())
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{database}"]
    command += ["--artifacts-destination", str(directory / "artifacts"), "--port", str(port), "--workers", "1"]
    with (directory / "log").open("wb") as log:
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        process = subprocess.Popen(
            command, cwd=directory, stdout=log, stderr=log, start_new_session=True, env=environment
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, directory / "log")
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def _wait(url: str, log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        try:
            fetch(f"{url}/health")
            return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    raise TimeoutError(log.read_text())


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as reply:  # noqa: S310 (always the server of this test)
        return bytes(reply.read())


def entry(source: str) -> ModelEntry:
    return ModelEntry(
        role="merged",
        digest="d" * 64,
        source=source,
        tags={"storm.benchmark.tools": "0.65"},
        metrics={"tools": 0.65},
        description="A model.",
    )


def test_a_server_takes_a_version_in_an_s3_store_once_and_its_pages_load(server: str) -> None:
    client = MlflowClient(tracking_uri=server, registry_uri=server)
    run = client.create_run(client.create_experiment("storm"))
    versions = [register_version(client, run.info.run_id, "storm", entry("s3://store/model/d")) for _ in range(2)]
    assert versions == ["1", "1"]
    query = urllib.parse.urlencode({"filter": "name='storm'"})
    (found,) = json.loads(fetch(f"{server}/api/2.0/mlflow/model-versions/search?{query}"))["model_versions"]
    assert found["source"] == "s3://store/model/d"
    assert {"key": "storm.benchmark.tools", "value": "0.65"} in found["tags"]
    experiment = client.get_experiment_by_name("storm")
    assert experiment is not None
    (logged,) = client.search_logged_models([experiment.experiment_id])
    assert {metric.key: metric.value for metric in logged.metrics or ()} == {"merged/tools": 0.65}
    assert b"<title>MLflow</title>" in fetch(server)


def test_a_server_refuses_a_local_source_which_is_why_register_does(server: str, tmp_path: Path) -> None:
    client = MlflowClient(tracking_uri=server, registry_uri=server)
    run = client.create_run(client.create_experiment("local"))
    with pytest.raises(MlflowException, match="Invalid model version source"):
        register_version(client, run.info.run_id, "local", entry(tmp_path.as_uri()))


def test_register_refuses_a_local_source_for_a_server_before_it_writes(
    server: str, tmp_path: Path, promotion, monkeypatch
) -> None:
    inputs = promotion()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    config = RegisterConfig(registered_model_name="untouched")
    with pytest.raises(InputError, match="accepts no local path as a model's source"):
        execute(REGISTER, config, inputs=inputs, outputs={"registration": tmp_path / "r"}, value_files={})
    client = MlflowClient(tracking_uri=server, registry_uri=server)
    assert client.search_registered_models("name = 'untouched'") == []
