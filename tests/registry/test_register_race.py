"""Two processes that register one digest at the same time make one version, on SQLite and on PostgreSQL."""

import importlib.util
import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from storm_core.registry.model_versions import ModelEntry, find_version, register_version

pytestmark = pytest.mark.slow
CONTEXT = multiprocessing.get_context("spawn")
ROUNDS, WRITERS = 50, 2
_SECONDS = 240


def entry(number: int) -> ModelEntry:
    return ModelEntry(
        role="merged",
        digest=f"{number:064x}",
        source=f"s3://store/model/{number:064x}",
        tags={"storm.gate": "passed"},
        metrics={"tools": 0.65},
        description="A model.",
    )


def register_in_rounds(uri: str, barrier, answers) -> None:
    client = MlflowClient(uri, uri)
    run = client.create_run("0").info.run_id
    for number in range(ROUNDS):
        barrier.wait(_SECONDS)
        answers.put((number, register_version(client, run, "storm", entry(number))))


def check(uri: str) -> None:
    """Register fifty digests by two processes each, and look at what there is."""
    barrier, answers = CONTEXT.Barrier(WRITERS), CONTEXT.Queue()
    writers = [CONTEXT.Process(target=register_in_rounds, args=(uri, barrier, answers)) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    told = [answers.get(timeout=_SECONDS) for _ in range(ROUNDS * WRITERS)]
    for writer in writers:
        writer.join(_SECONDS)
    client = MlflowClient(uri, uri)
    versions = client.search_model_versions("name = 'storm'")
    assert sorted(version.tags["storm.digest"] for version in versions) == [entry(n).digest for n in range(ROUNDS)]
    for number, version in told:
        found = find_version(client, "storm", entry(number).digest)
        assert found is not None
        assert str(found.version) == version
    logged = client.search_logged_models(["0"], max_results=2 * ROUNDS)
    assert {one.model_id for one in logged} == {version.tags["storm.logged_model"] for version in versions}


def test_two_processes_make_one_version_of_a_digest_on_sqlite(registry: Path) -> None:
    check(f"sqlite:///{registry}")


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[str]:
    """The URI of an empty database of a server of the test's own, which listens on a socket in a directory."""
    if not shutil.which("initdb") or not importlib.util.find_spec("psycopg2"):
        pytest.skip("needs PostgreSQL's server and psycopg2")
    if os.getuid() == 0:
        pytest.skip("PostgreSQL refuses to run as root")
    data = tmp_path / "pg"
    subprocess.run(["initdb", "-D", str(data), "-A", "trust", "-U", "storm"], check=True, stdout=subprocess.DEVNULL)
    options = f"-k {tmp_path} -c listen_addresses="
    command = ["pg_ctl", "-D", str(data), "-w", "-l", str(tmp_path / "log")]
    subprocess.run([*command, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL)
    try:
        yield f"postgresql+psycopg2://storm@/postgres?host={tmp_path}"
    finally:
        subprocess.run([*command, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL)


def test_two_processes_make_one_version_of_a_digest_on_postgresql(postgresql: str) -> None:
    MlflowClient(postgresql, postgresql).search_experiments()
    check(postgresql)
