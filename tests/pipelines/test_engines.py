"""What becomes of a task's lines; what the engine with containers refuses before it starts. Needs no Docker."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.local import copy_output
from tests.pipelines.conftest import run


def refusal(workspace: Path, **environment: str) -> str:
    finished = run(workspace, "refused", "--engine", "docker", **environment)
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    return line


def test_store_in_files_is_refused(workspace: Path) -> None:
    assert "containers need a store in S3; unset STORM_STORE" in refusal(workspace, STORM_STORE="file:///somewhere")


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_server_that_only_this_machine_reaches_is_refused(workspace: Path, name: str) -> None:
    message = refusal(workspace, STORM_STORE="s3://bucket", **{name: "http://localhost:8333"})
    assert "containers cannot reach http://localhost:8333" in message


def test_missing_daemon_is_an_error_in_words(workspace: Path) -> None:
    assert "no Docker daemon answers" in refusal(workspace, DOCKER_HOST="unix:///nonexistent/docker.sock")


def test_bars_move_on_the_terminal_and_leave_no_line_in_the_log(tmp_path: Path, capfdbinary: Any) -> None:
    bar = "\rmerge:  50%|█████     | 1/2 [00:00<00:00]"
    written = f"merge: starts{chr(10)}{bar}{bar}{chr(10)}größer".encode()
    with (tmp_path / "merge.log").open("ab") as log:
        copy_output([written[:-3], written[-3:]], log)
        assert not log.closed
    assert (tmp_path / "merge.log").read_text(encoding="utf-8") == "merge: starts\ngrößer\n"
    assert capfdbinary.readouterr().err == written
