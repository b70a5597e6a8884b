"""A real MLflow server that can be stopped and started, and a stage that only logs."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from storm_core.config import StageConfig, option

SECONDS_TO_START = 180


@dataclass(frozen=True, kw_only=True)
class TrainLikeConfig(StageConfig):
    """Two options."""

    learning_rate: float = option("a number", 0.1)
    packing: bool = option("a truth", True)


class Server:
    """`mlflow server` on a database of its own."""

    def __init__(self, directory: Path, *more: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._directory = directory
        self._command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
        self._command += ["--backend-store-uri", f"sqlite:///{directory}/mlflow.db"]
        self._command += ["--artifacts-destination", str(directory / "artifacts"), *more]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # Its workers for jobs of its own take longer to start than it does.
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            )
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=30).close()  # noqa: S310 (this server's)
                return
            except (URLError, ConnectionError, TimeoutError):
                time.sleep(0.2)
        raise TimeoutError((self._directory / "log").read_text())

    def stop(self) -> None:
        """Stop it, if it runs; its database stays."""
        if self._process:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(timeout=60)
            self._process = None

    def client(self) -> MlflowClient:
        """A client of the server."""
        return MlflowClient(tracking_uri=self.url, registry_uri=self.url)

    def runs(self, experiment: str = "storm") -> list[Run]:
        """Every run of the experiment, the oldest first."""
        return runs_of(self.client(), experiment)


def runs_of(client: MlflowClient, experiment: str = "storm") -> list[Run]:
    """Every run of the experiment that was not deleted, the oldest first; none where there is no such experiment."""
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id], order_by=["attributes.start_time"])) if found else []


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow with its tables made, which takes seconds. Copy it."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Server]:
    """A server that all tests use; each has an experiment of its own."""
    directory = tmp_path_factory.mktemp("mlflow-server")
    (directory / "mlflow.db").write_bytes(empty_database.read_bytes())
    server = Server(directory)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def experiment(shared_server: Server, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of an empty experiment, to which stages log now."""
    name = request.node.name
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared_server.url)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    return str(name)


@pytest.fixture
def database(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """An empty database, to which stages log now, without a server."""
    path = tmp_path / "mlflow.db"
    path.write_bytes(empty_database.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    return MlflowClient(f"sqlite:///{path}")
