import fcntl
import os
import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipelines.run import _database_in_words, _end_parent_run, _only_run_in, _start_parent_run
from storm_core.errors import InputError
from tests.tracking.conftest import empty_database  # noqa: F401 (a fixture)

RECIPE = Path("smoke.yaml")


@pytest.fixture
def run_directory(
    tmp_path: Path,
    empty_database: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A run's directory with a database of its own, and variables that are as before afterwards."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    return tmp_path


def test_second_run_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another run is under way"), _only_run_in(tmp_path):
            pass
    with _only_run_in(tmp_path):
        pass


def test_experiment_of_the_run_that_was_deleted_is_told_in_one_line(run_directory: Path) -> None:
    client = MlflowClient(f"sqlite:///{run_directory}/mlflow.db")
    client.delete_experiment(client.create_experiment(RECIPE.stem))
    with pytest.raises(InputError, match=r"'smoke' was deleted in MLflow") as caught, _database_in_words(run_directory):
        _start_parent_run(run_directory, RECIPE, {})
    assert "\n" not in str(caught.value) and "mlflow.db" in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE experiments RENAME TO other",
        "ALTER TABLE runs RENAME TO other",
        "UPDATE alembic_version SET version_num = 'of-a-newer-one'",
    ],
)
def test_database_of_the_run_that_cannot_be_used_is_told_in_one_line(change: str, run_directory: Path) -> None:
    with sqlite3.connect(run_directory / "mlflow.db") as database:
        database.execute(change)
    database.close()
    with pytest.raises(InputError, match=r"mlflow\.db: MLflow at .* says") as caught, _database_in_words(run_directory):
        _start_parent_run(run_directory, RECIPE, {"train_epochs": 1.0})
    assert "\n" not in str(caught.value)


def test_run_that_cannot_be_ended_in_mlflow_hides_no_result(
    run_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client, _ = _start_parent_run(run_directory, RECIPE, {})
    _end_parent_run(client, "0" * 32, "FINISHED")
    assert "is not ended in MLflow" in capsys.readouterr().err
