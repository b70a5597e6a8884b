"""The whole graph in containers. Needs Docker and `make images`; nothing is skipped."""

from pathlib import Path

import pytest

from tests.pipelines.conftest import run

pytestmark = pytest.mark.docker


def test_try(workspace: Path) -> None:
    finished = run(workspace, "in-containers", "--engine", "docker", OMP_NUM_THREADS="1")
    print(finished.stdout[-3000:], finished.stderr[-6000:])
    print(workspace)
    assert finished.returncode == 0
