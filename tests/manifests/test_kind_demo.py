"""`make demo-cluster`, and how a cluster is reached: stand-ins for kubectl and KFP, a real S3 server, our `submit`."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.s3_server import WRITER, S3Server
from tests.manifests.machine import ROOT, Machine
from tests.pipelines.kfp_server import KfpServer
from tests.pipelines.kfp_state import AtOnce, Course
from tests.s3_clients import administrator

DEMO, FORWARDED = "manifests/kind/demo", "manifests/kind/forwarded"
VARIABLES = ("STORM_KFP_PORT", "STORM_S3_PORT", "STORM_MLFLOW_PORT")
# Asks at an address until it is answered, as often as it is told to.
ASK = """
import os, time, urllib.error, urllib.request
for _ in range({times}):
    for attempt in range(100):
        try:
            print(urllib.request.urlopen(os.environ["STORM_KFP_HOST"] + "/apis/v2beta1/healthz").status)
            break
        except OSError:
            time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        administrator(server).create_bucket(Bucket="mlpipeline")
        yield server


@pytest.fixture
def kfp() -> Iterator[KfpServer]:
    with KfpServer(AtOnce()) as server:
        # What the pages' server says in place of the API's.
        server.state.health = {"apiServerTagName": "2.17.0", "multi_user": False}
        yield server


@pytest.fixture
def machine(tmp_path: Path, s3: S3Server, kfp: KfpServer) -> Machine:
    """A machine with the cluster, whose KFP and store are those servers."""
    made = Machine(tmp_path)
    made.set("clusters", {"storm": "kindest/node"})
    made.set("applied", ["manifests/overlays/kind/kfp/servers"])
    (made.home / ".kube").mkdir()
    (made.home / ".kube" / "kind-storm.config").touch()
    made.set("keys", {"accesskey": WRITER, "secretkey": s3.environment()["AWS_SECRET_ACCESS_KEY"]})
    at = {"ml-pipeline-ui": kfp.address, "seaweedfs": s3.endpoint, "mlflow": kfp.address}
    made.set("services", {name: ["127.0.0.1", int(address.rpartition(":")[2])] for name, address in at.items()})
    return made


@pytest.fixture
def variables() -> dict[str, str]:
    """Free ports, and the Python that runs this."""
    return {**dict(zip(VARIABLES, map(str, free_ports()), strict=True)), "STORM_PYTHON": sys.executable}


def free_ports() -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in VARIABLES]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def assert_nothing_listens(variables: dict[str, str]) -> None:
    """What was told to end has a moment for it."""
    deadline = time.monotonic() + 10
    while listening := [name for name in VARIABLES if answers(int(variables[name]))]:
        assert time.monotonic() < deadline, listening
        time.sleep(0.1)


def answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_demo_is_brought_to_the_store_submitted_and_waited_for(
    machine: Machine, kfp: KfpServer, s3: S3Server, variables: dict[str, str]
) -> None:
    # What the shell has of another store is not for this one.
    ran = machine.run(DEMO, **variables, AWS_SESSION_TOKEN="of another", AWS_ENDPOINT_URL_S3="http://127.0.0.1:9")
    assert ran.returncode == 0, ran.stderr
    (run,) = kfp.state.runs.values()
    given = run["runtime_config"]["parameters"]
    for name in ("base_model", "sibling_model", "data"):
        assert given[name].startswith("s3://mlpipeline/storm/")
    assert run["service_account"] == "pipeline-runner"
    assert "the run succeeded" in ran.stdout
    assert f"http://127.0.0.1:{variables['STORM_KFP_PORT']}/#/runs/details/{run['run_id']}" in ran.stdout
    assert ran.stdout.splitlines()[-3:] == [
        f"runs     http://127.0.0.1:{variables['STORM_KFP_PORT']}/#/runs",
        f"numbers  http://127.0.0.1:{variables['STORM_MLFLOW_PORT']}",
        f"models   http://127.0.0.1:{variables['STORM_MLFLOW_PORT']}/#/models/storm",
    ]
    assert "warning" not in ran.stderr, "the release of KFP is known, though its pages answer"
    (version,) = kfp.state.versions.values()
    assert s3.endpoint not in str(version) and variables["STORM_S3_PORT"] not in str(version), "pods have another"
    assert_nothing_listens(variables)


@pytest.mark.slow
def test_demo_that_fails_ends_with_its_exit_code_and_without_addresses(
    machine: Machine, kfp: KfpServer, variables: dict[str, str]
) -> None:
    kfp.state.courses = [Course(failing={"fetch": "no space left"})]
    ran = machine.run(DEMO, **variables)
    assert ran.returncode == 1
    assert "no space left" in ran.stdout
    assert "where to look" not in ran.stdout
    assert_nothing_listens(variables)


def test_without_a_cluster_the_demo_says_how_to_make_one(machine: Machine, variables: dict[str, str]) -> None:
    machine.set("clusters", {})
    refused = machine.run(DEMO, **variables)
    assert refused.returncode == 1
    assert refused.stderr == "error: there is no cluster storm; make cluster makes it\n"


def test_cluster_that_is_half_made_is_told(machine: Machine, variables: dict[str, str]) -> None:
    machine.set("applied", [])
    refused = machine.run(DEMO, **variables)
    assert refused.returncode == 1
    assert refused.stderr.endswith("has no secret of KFP's store; make cluster ends what was begun\n")


@pytest.mark.parametrize("variable", VARIABLES)
def test_port_that_is_taken_is_named_with_its_variable(
    machine: Machine, variables: dict[str, str], variable: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = machine.run(FORWARDED, "true", **{**variables, variable: port})
    assert refused.returncode == 1
    assert refused.stderr == f"error: port {port} of this machine is taken; set {variable} to a free one\n"
    assert_nothing_listens({**variables, variable: port})


def test_command_finds_all_addresses_and_its_exit_code_is_kept(machine: Machine, variables: dict[str, str]) -> None:
    ran = machine.run(FORWARDED, "bash", "-c", "env; exit 7", **variables)
    assert ran.returncode == 7
    found = dict(line.split("=", 1) for line in ran.stdout.splitlines() if "=" in line)
    assert found["STORM_KFP_HOST"] == f"http://127.0.0.1:{variables['STORM_KFP_PORT']}"
    assert found["MLFLOW_TRACKING_URI"] == f"http://127.0.0.1:{variables['STORM_MLFLOW_PORT']}"
    assert found["AWS_ENDPOINT_URL_S3"] == f"http://127.0.0.1:{variables['STORM_S3_PORT']}"
    assert found["AWS_ACCESS_KEY_ID"] == WRITER
    assert found["KUBECONFIG"] == os.fspath(machine.home / ".kube" / "kind-storm.config")
    assert "--store s3://mlpipeline/storm --s3-secret storm-s3" in found["STORM_KFP_FLAGS"]
    assert_nothing_listens(variables)


def test_forward_that_ends_is_begun_again(machine: Machine, variables: dict[str, str]) -> None:
    # The first connection is that which looks whether it answers.
    machine.set("lives", 3)
    ran = machine.run(FORWARDED, sys.executable, "-c", ASK.format(times=4), **variables)
    assert ran.stdout == "200\n" * 4
    assert len(machine.asked("kubectl port-forward")) > len(VARIABLES)


def test_scripts_are_for_makes_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target, script in (("cluster:", "up"), ("demo-cluster: setup", "demo"), ("cluster-down:", "down")):
        rule = makefile.split(f"\n{target} ##")[1].split("\n\n")[0]
        assert rule.endswith(f"\tmanifests/kind/{script}")
