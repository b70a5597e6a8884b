"""Files that are kept with a run, where they can be."""

from pathlib import Path

import pytest

from storm_core.tracking import Work, track
from tests.tracking.conftest import Server, TrainLikeConfig

pytestmark = pytest.mark.slow


def log_page(directory: Path) -> None:
    (directory / "page.html").write_text("page")
    with track(Work(verb="audit", task="audit"), TrainLikeConfig(), None, directory) as run:
        run.log_file(directory / "page.html")


def test_file_is_kept_by_a_server_that_takes_files(shared_server: Server, experiment: str, tmp_path: Path) -> None:
    log_page(tmp_path)
    (run,) = shared_server.runs(experiment)
    assert [file.path for file in shared_server.client().list_artifacts(run.info.run_id)] == ["page.html"]


def test_file_for_a_server_that_does_not_take_files_stays_here(
    shared_server: Server, experiment: str, tmp_path: Path
) -> None:
    """The server's own disk is no place that a stage can write to."""
    shared_server.client().create_experiment(experiment, (tmp_path / "files").as_uri())
    log_page(tmp_path)
    (run,) = shared_server.runs(experiment)
    assert run.info.artifact_uri.startswith("file:")
    assert run.info.status == "FINISHED"
    assert not (tmp_path / "files").exists()
