"""Two processes that register one digest at the same time make one version, on a PostgreSQL server of the test's own.

Run by `make test-postgresql`, as it needs PostgreSQL's programs and psycopg2.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.registry.racing import check

# Debian's package keeps them there; root may not run them, and it brings this user.
PROGRAMS = [*Path("/usr/lib/postgresql").glob("*/bin")]
USER = "postgres" if os.getuid() == 0 else None


def run(program: str, *flags: object) -> None:
    """Run one of PostgreSQL's programs."""
    path = shutil.which(program, path=os.pathsep.join([*map(str, PROGRAMS), os.environ["PATH"]]))
    assert path, f"no {program}; install PostgreSQL's server"
    subprocess.run([path, *map(str, flags)], check=True, stdout=subprocess.DEVNULL, user=USER)


@pytest.fixture
def postgresql() -> Iterator[str]:
    """The URI of an empty database, of a server that listens on a socket in a directory."""
    with tempfile.TemporaryDirectory() as directory:
        if USER:
            shutil.chown(directory, USER)
        data = Path(directory) / "data"
        run("initdb", "-D", data, "-A", "trust", "-U", "storm")
        server = ("pg_ctl", "-D", data, "-w", "-l", f"{directory}/log")
        run(*server, "-o", f"-k {directory} -c listen_addresses=", "start")
        try:
            yield f"postgresql+psycopg2://storm@/postgres?host={directory}"
        finally:
            run(*server, "-m", "immediate", "stop")


def test_two_processes_make_one_version_of_a_digest_on_postgresql(postgresql: str) -> None:
    MlflowClient(postgresql, postgresql).search_experiments()
    check(postgresql)
