"""The whole graph in containers. Needs Docker and `make images`; nothing is skipped."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.types import Mount

from components.images import CORE, TRAINING
from pipelines import services
from pipelines.s3_server import S3Server
from storm_core.manifest import read_manifest
from storm_core.stores.s3_client import make_client
from tests.pipelines.conftest import ROOT, artifacts, run, run_command
from tests.waiting import wait_for

pytestmark = pytest.mark.docker

# What is the same bytes wherever it is computed, given the same PyTorch, processor and number of threads.
DETERMINISTIC = ("model", "examples", "verdicts", "selection", "scan", "training", "evaluation", "decision")
# An address of the block that documentation uses: nothing answers there, and only a network with a way out even tries.
ELSEWHERE = "198.51.100.1"
REACHABLE = """
import json, socket, sys
found = {}
for name, address in json.loads(sys.argv[1]).items():
    try:
        socket.create_connection(address, timeout=5).close()
        found[name] = "yes"
    except OSError as error:
        found[name] = type(error).__name__
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with contextlib.closing(docker.from_env()) as client:
        yield client


@pytest.fixture(scope="module")
def in_subprocesses(workspace: Path) -> Path:
    finished = run(workspace, "in-subprocesses")
    assert finished.returncode == 0, finished.stderr
    return workspace / "in-subprocesses" / "tiny"


@pytest.fixture(scope="module")
def in_containers(workspace: Path) -> Path:
    """The same recipe in containers, whose log lines are JSON; the directory of the run."""
    finished = run(workspace, "in-containers", "--engine", "docker", STORM_LOG_FORMAT="json")
    assert finished.returncode == 0, finished.stderr
    (workspace / "in-containers" / "output").write_text(finished.stdout + finished.stderr)
    return workspace / "in-containers" / "tiny"


def test_artifacts_of_the_containers_are_those_of_the_subprocesses(
    in_subprocesses: Path, in_containers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = artifacts((in_subprocesses / "artifacts").as_uri())
    with S3Server(in_containers / "s3") as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        found = artifacts(f"s3://{services.BUCKET}")
    assert {kind: found[kind] for kind in DETERMINISTIC} == {kind: expected[kind] for kind in DETERMINISTIC}
    assert set(found) == set(expected)
    assert "<svg" in (in_containers / "report.html").read_text()


def test_every_line_of_every_container_is_one_json_object(in_containers: Path) -> None:
    logs = {path.stem: path.read_text() for path in (in_containers / "logs").glob("*.log")}
    servers = {"mlflow-server"}
    assert {"fetch-base", "score", "train", "evaluate-quantized", "register", "report"} <= set(logs)
    for name in set(logs) - servers:
        events = [json.loads(line) for line in logs[name].splitlines()]
        assert {event["task"] for event in events} == {name}
        assert "done in" in events[-1]["message"]


def test_secret_key_of_the_store_is_in_no_log_parameter_or_manifest(in_containers: Path) -> None:
    identities = json.loads((in_containers / "s3" / "identities.json").read_text())["identities"]
    secrets = [identity["credentials"][0]["secretKey"].encode() for identity in identities]
    looked_at = [in_containers.parent / "output", *in_containers.rglob("*")]
    files = [path for path in looked_at if path.is_file() and in_containers / "s3" not in path.parents]
    assert any(path.name == "mlflow.db" for path in files)
    for path in files:
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret in content], path


def test_second_run_reuses_what_the_first_left_in_the_store(workspace: Path, in_containers: Path) -> None:
    finished = run(workspace, "in-containers", "--engine", "docker")
    assert finished.returncode == 0, finished.stderr
    again = [line for line in finished.stderr.splitlines() if ": done in" in line]
    assert [line.partition(":")[0] for line in again] == ["register"]


def test_containers_are_strict_and_an_engine_told_to_stop_leaves_none(workspace: Path, client: Any) -> None:
    process = subprocess.Popen(
        run_command(workspace, "stopped", "--engine", "docker"), cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    name = f"storm-{process.pid}"
    container = wait_for(lambda: next(iter(client.containers.list(filters={"network": name})), None), seconds=120)
    settings, host = container.attrs["Config"], container.attrs["HostConfig"]
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143, errors
    assert "Traceback" not in errors
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["NetworkMode"] == name
    assert not host["Privileged"]
    assert int(settings["User"].partition(":")[0]) >= 1000
    assert not any(
        value.partition("=")[2] in " ".join(settings["Cmd"]) for value in settings["Env"] if "SECRET" in value
    )
    assert not client.containers.list(all=True, filters={"id": container.id})
    assert not client.networks.list(names=[name])


def test_store_of_one_s_own_is_used_and_the_network_is_then_an_open_one(
    workspace: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Containers reach every address of this machine, so any network's will do; the default one may not tell its own.
    with services.network(closed=False) as other, S3Server(workspace / "own-s3", host=other.gateway) as server:
        for name, value in {**server.environment(), "STORM_STORE": "s3://own/prefix"}.items():
            monkeypatch.setenv(name, value)
        with contextlib.closing(make_client()) as s3:
            s3.create_bucket(Bucket="own")
        command = run_command(workspace, "own-store", "--engine", "docker")
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: artifacts("s3://own/prefix").get("model"), seconds=120)
            assert not client.networks.get(f"storm-{process.pid}").attrs["Internal"]
        finally:
            process.terminate()
            process.wait(60)
    assert not (workspace / "own-store" / "tiny" / "s3").exists()


def test_containers_reach_this_machine_at_the_gateway_and_nothing_else(client: Any) -> None:
    with services.network(closed=True) as network, socket.create_server((network.gateway, 0)) as server:
        assert client.networks.get(network.name).attrs["Internal"]
        addresses = {"here": server.getsockname(), "elsewhere": (ELSEWHERE, 443), "name": ("pypi.org", 443)}
        found = ask_reachable(client, network, addresses)
    assert found["here"] == "yes"
    assert found["elsewhere"] in ("TimeoutError", "OSError")
    assert found["name"] == "gaierror"


def ask_reachable(client: Any, network: services.Network, addresses: dict[str, tuple[str, int]]) -> dict[str, str]:
    command = ["/opt/storm/bin/python", "-c", REACHABLE, json.dumps(addresses)]
    with running(client, CORE, command, network=network.name, dns=network.resolvers) as container:
        assert container.wait()["StatusCode"] == 0
        found: dict[str, str] = json.loads(container.logs())
    return found


@contextlib.contextmanager
def running(client: Any, image: str, command: list[str], **options: Any) -> Iterator[Any]:
    """A container with a user that no file belongs to and no rights, gone with all that it wrote."""
    container = client.containers.run(
        image,
        command,
        detach=True,
        user="123456:123456",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        environment={"OMP_NUM_THREADS": "1"},
        **options,
    )
    try:
        yield container
    finally:
        container.remove(force=True, v=True)


def test_training_in_a_container_that_is_stopped_leaves_a_checkpoint_and_goes_on_from_it(
    in_subprocesses: Path, workspace: Path, client: Any
) -> None:
    outputs = workspace / "stopped-training"
    outputs.mkdir()
    outputs.chmod(0o777)
    (scan,) = (in_subprocesses / "artifacts" / "scan").iterdir()
    (selection,) = (in_subprocesses / "artifacts" / "selection").iterdir()
    model = in_subprocesses / "artifacts" / "model" / read_manifest(scan / "manifest.json").inputs["model"][0]
    inputs = {"model": model, "selection": selection, "scan": scan}
    command = ["storm", "train", *(part for name, path in inputs.items() for part in (f"--{name}", str(path)))]
    command += ["--tuned-model", str(outputs / "tuned"), "--training", str(outputs / "training")]
    command += ["--epochs=2000", "--checkpoint-minutes=60", "--evaluations=1"]
    mounts = [Mount(str(path), str(path), type="bind", read_only=True) for path in inputs.values()]
    mounts.append(Mount(str(outputs), str(outputs), type="bind"))

    with running(client, TRAINING, command, mounts=mounts, network_mode="none") as container:
        wait_for(lambda: " steps" in container.logs().decode(), seconds=120)
        steps = last_step(container.logs().decode())
        started = time.monotonic()
        container.stop(timeout=30)
        assert time.monotonic() - started < 30
        assert container.wait()["StatusCode"] == 143, container.logs().decode()
        assert "stopped (SIGTERM)" in container.logs().decode()
    assert not (outputs / "tuned").exists()

    with running(client, TRAINING, command, mounts=mounts, network_mode="none") as container:
        wait_for(lambda: "continues after step" in container.logs().decode(), seconds=120)
        (line,) = (one for one in container.logs().decode().splitlines() if "continues after step" in one)
        container.stop(timeout=30)
        assert container.wait()["StatusCode"] == 143
    assert int(line.split()[4]) >= steps


def last_step(log: str) -> int:
    return int([line for line in log.splitlines() if " steps" in line][-1].split()[1])


def test_missing_image_is_named_with_what_to_do(workspace: Path) -> None:
    code = (
        "import sys, components.images as images;"
        "images.IMAGE_OF = {**images.IMAGE_OF, 'train': 'storm-training:never-built'};"
        "from pipelines.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    flags = run_command(workspace, "missing", "--engine", "docker")[3:]
    finished = subprocess.run(
        [sys.executable, "-c", code, *flags], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 1
    assert finished.stderr.strip().endswith("there is no image storm-training:never-built; run `make images`")
