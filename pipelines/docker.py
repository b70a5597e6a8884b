"""The engine with containers: `kfp.local.DockerRunner`, each component in its own image, as a strict cluster runs it.

A container has no rights, a read-only root file system, a user that is not root, and a network that leads to this
machine alone: to the MLflow server that the run starts, and to the store.
"""

import contextlib
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.types import Mount
from kfp import dsl, local
from kfp.local import config, docker_task_handler, status

from pipelines.local import LOG_DIRECTORY_VARIABLE, _quiet_kfp
from pipelines.recipes import REFERENCES
from storm_core.errors import InputError
from storm_core.stores.references import STORE_VARIABLE
from storm_core.tracking import PARENT_RUN_VARIABLE, TASK_NAME_VARIABLE

# Variables of this process that reach every container, and all that begin with one of the prefixes.
PASSED = ("HF_HUB_OFFLINE", "MLFLOW_EXPERIMENT_ID", "OMP_NUM_THREADS", PARENT_RUN_VARIABLE, "TOKENIZERS_PARALLELISM")
PASSED_PREFIXES = ("AWS_", "STORM_LOG_")
START_SECONDS = 120
# MLflow prints two lines with addresses at the end of each run.
QUIET = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "1"}


@dataclass(frozen=True, kw_only=True)
class Network:
    """A Docker network without a way out; `gateway` is this machine's address in it."""

    name: str
    gateway: str


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """A network of its own for one run, gone with it.

    Raises:
        InputError: no Docker daemon answers.
    """
    try:
        client = docker.from_env()
    except docker.errors.DockerException as error:
        raise InputError(f"no Docker daemon answers: {error}") from error
    made = client.networks.create(f"storm-{os.getpid()}", driver="bridge", internal=True)
    try:
        made.reload()
        yield Network(name=made.name, gateway=made.attrs["IPAM"]["Config"][0]["Gateway"])
    finally:
        made.remove()
        client.close()


@contextlib.contextmanager
def mlflow_server(directory: Path, gateway: str, port: int = 5500) -> Iterator[str]:
    """An MLflow server over the run's own database, at an address that containers reach; yields its URI.

    Raises:
        InputError: it does not answer in time.
    """
    uri = f"http://{gateway}:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", gateway, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{directory / 'mlflow.db'}", "--allowed-hosts", f"{gateway}:{port}"]
    command += ["--artifacts-destination", str(directory / "mlflow-artifacts")]
    with (directory / "logs" / "mlflow-server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait_for(f"{uri}/health", process)
            yield uri
        finally:
            process.terminate()
            process.wait()


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):  # noqa: S310 (an address of our own)
            return
        time.sleep(0.5)
    raise InputError(f"the MLflow server does not answer at {url}; its log is logs/mlflow-server.log of the run")


def run_in_containers(
    pipeline: dsl.base_component.BaseComponent,
    arguments: Mapping[str, Any],
    *,
    pipeline_root: Path,
    network: Network,
    tracking_uri: str,
) -> dict[str, Any]:
    """Run the pipeline, each task in a container of its component's image; returns the pipeline's outputs.

    Args:
        pipeline: the graph component.
        arguments: run arguments by name; what they refer to on this machine is mounted read-only at the same path.
        pipeline_root: directory for what passes between tasks.
        network: the only one that the containers see.
        tracking_uri: the MLflow server, as the containers see it.

    Raises:
        RuntimeError: a task failed.
    """
    written = [pipeline_root, *_file_store()]
    user = _user(written)
    runner = local.DockerRunner(
        user=user,
        working_dir=str(Path.cwd()),
        environment={**QUIET, **_environment(), "MLFLOW_TRACKING_URI": tracking_uri},
        mounts=[*_data_mounts(arguments), *(Mount(str(path), str(path), type="bind") for path in written[1:])],
        network=network.name,
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        shm_size="1g",
    )
    local.init(runner, pipeline_root=str(pipeline_root), raise_on_error=True)
    with _handler_with_logs(), _quiet_kfp():
        return dict(pipeline(**arguments).outputs)


class StageContainer(docker_task_handler.DockerTaskHandler):
    """KFP's own handler, but for what becomes of a container's lines and of its exit code.

    KFP's removes a container before it asks how it ended, and takes one that is gone for a success.
    """

    def run(self) -> status.Status:
        """Run the container; its lines go to the terminal and to a log file of its own."""
        runner: config.DockerRunner = self.runner
        name = self.env_vars.get(TASK_NAME_VARIABLE, self.full_command[1])
        log_path = Path(os.environ[LOG_DIRECTORY_VARIABLE]) / f"{name}.log"
        client = docker.from_env()
        container = client.containers.create(
            self.image,
            self.full_command,
            environment=self.env_vars,
            volumes=self.get_volumes_to_mount(client),
            **runner.container_run_args,
        )
        try:
            container.start()
            with log_path.open("ab") as log:
                for block in container.logs(stream=True, follow=True):
                    log.write(block)
                    sys.__stderr__.buffer.write(block)  # type: ignore[union-attr]
                    sys.__stderr__.flush()  # type: ignore[union-attr]
            code = container.wait()["StatusCode"]
        finally:
            container.remove(force=True, v=True)
            client.close()
        return status.Status.SUCCESS if code == 0 else status.Status.FAILURE


@contextlib.contextmanager
def _handler_with_logs() -> Iterator[None]:
    original = docker_task_handler.DockerTaskHandler
    docker_task_handler.DockerTaskHandler = StageContainer
    try:
        yield
    finally:
        docker_task_handler.DockerTaskHandler = original


def _environment() -> dict[str, str]:
    names = {name for name in os.environ if name in PASSED or name.startswith(PASSED_PREFIXES)}
    return {name: os.environ[name] for name in sorted({*names, STORE_VARIABLE} & set(os.environ))}


def _file_store() -> list[Path]:
    """The store's directory where it is one of this machine."""
    uri = os.environ.get(STORE_VARIABLE, "")
    return [Path(uri.removeprefix("file://"))] if uri.startswith("file://") else []


def _data_mounts(arguments: Mapping[str, Any]) -> list[Mount]:
    """Read-only mounts of what the arguments refer to, none inside another."""
    paths = sorted({Path.cwd() / arguments[name] for name in REFERENCES if Path(arguments[name]).exists()})
    outer = [path for path in paths if not any(path.is_relative_to(other) for other in paths if other != path)]
    return [Mount(str(path), str(path.resolve()), type="bind", read_only=True) for path in outer]


def _user(written: list[Path]) -> str:
    """The user of the containers: our own, or where we are root the store's owner or a random one who then owns it."""
    if os.getuid():
        return f"{os.getuid()}:{os.getgid()}"
    owner = written[-1].stat().st_uid or random.randrange(100_000, 2**31)  # noqa: S311 (not for secrecy)
    for path in written:
        os.chown(path, owner, owner)
    return f"{owner}:{owner}"
