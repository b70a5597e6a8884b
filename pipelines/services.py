"""What a run in containers needs of this machine, for as long as it runs: a network, an S3 server, an MLflow server.

Both servers listen on this machine's address in that network, and nowhere else.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
from botocore.exceptions import ClientError

from pipelines.database import database_uri
from pipelines.s3_server import S3Server, end_with_parent
from storm_core.errors import InputError
from storm_core.own_servers import open_directly
from storm_core.stores.s3_client import make_client

LABEL = "io.storm.run"
BUCKET = "storm"
START_SECONDS = 120
MLFLOW_PORT = 5500


@dataclass(frozen=True, kw_only=True)
class Network:
    """A Docker network: this machine's address in it, and who is asked for names where it is not Docker."""

    name: str
    gateway: str
    resolvers: list[str] | None


@contextlib.contextmanager
def network(*, closed: bool) -> Iterator[Network]:
    """A network of its own for one run, gone with it; one that is `closed` has no way out.

    Raises:
        InputError: no Docker daemon answers.
    """
    try:
        client = docker.from_env()
    except docker.errors.DockerException as error:
        raise InputError(f"no Docker daemon answers: {error}") from error
    # What runs that were killed left: Docker has addresses for some thirty networks only.
    client.networks.prune(filters={"label": LABEL, "until": "24h"})
    made = client.networks.create(f"storm-{os.getpid()}", driver="bridge", internal=closed, labels={LABEL: ""})
    try:
        made.reload()
        gateway = made.attrs["IPAM"]["Config"][0]["Gateway"]
        # Docker's own resolver would ask this machine's, which knows the world outside. None answers at the gateway.
        yield Network(name=made.name, gateway=gateway, resolvers=[gateway] if closed else None)
    finally:
        made.remove()
        client.close()


@contextlib.contextmanager
def s3_store(directory: Path, gateway: str) -> Iterator[str]:
    """A SeaweedFS server over `directory`; yields the store's URI, and the AWS variables lead there."""
    with S3Server(directory, host=gateway) as server:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(server.environment())
        client = make_client()
        try:
            client.head_bucket(Bucket=BUCKET)
        except ClientError:
            client.create_bucket(Bucket=BUCKET)
        finally:
            client.close()
        yield f"s3://{BUCKET}"


@contextlib.contextmanager
def mlflow_server(directory: Path, gateway: str) -> Iterator[str]:
    """An MLflow server over the run's own database, with its log in `logs`; yields its URI.

    Raises:
        InputError: it does not answer in time.
    """
    address = f"{gateway}:{MLFLOW_PORT}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", gateway, "--port", str(MLFLOW_PORT)]
    command += ["--workers", "1", "--allowed-hosts", address, "--backend-store-uri", database_uri(directory)]
    command += ["--artifacts-destination", (directory / "mlflow-artifacts").as_uri()]
    with (directory / "logs" / "mlflow-server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=end_with_parent)  # noqa: PLW1509
        try:
            _wait_for(f"http://{address}/health", process)
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait()


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), open_directly(url):
            return
        time.sleep(0.5)
    raise InputError(f"the MLflow server does not answer at {url}; its log is logs/mlflow-server.log of the run")
