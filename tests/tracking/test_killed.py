"""Runs of stages that were killed: closed by the next attempt, or by a later stage once they give no sign of life."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from storm_core.stores.file_ledger import FileLedger
from storm_core.stores.locations import FileLocation
from storm_core.tracking import Work, track
from tests.tracking.conftest import TrainLikeConfig, runs_of

ROOT = Path(__file__).parents[2]
KFP_RUN = "0b1c2d3e-1111-2222-3333-444455556666"
WORK = Work(verb="train", task="train", key="key")
PROGRAM = """
import sys, time
from pathlib import Path
from storm_core.stores.file_ledger import FileLedger
from storm_core.stores.locations import FileLocation
from storm_core.tracking import Work, track
from tests.tracking.conftest import TrainLikeConfig

directory = Path(sys.argv[1])
work = Work(verb="train", task="train", key="key")
with track(work, TrainLikeConfig(), FileLedger(FileLocation(path=directory / "store")), directory):
    print("at work", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def killed(database: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A client of a server on which a stage of a KFP run was killed at work."""
    monkeypatch.setenv("STORM_KFP_RUN_ID", KFP_RUN)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "at work\n"
        process.send_signal(signal.SIGKILL)
    assert statuses(database, "train") == ["RUNNING"]
    return database


def store(tmp_path: Path) -> FileLedger:
    return FileLedger(FileLocation(path=tmp_path / "store"))


def attempt(work: Work, directory: Path, ledger: FileLedger | None) -> None:
    with track(work, TrainLikeConfig(), ledger, directory):
        pass


def named(client: MlflowClient, name: str) -> list[Run]:
    return [run for run in runs_of(client) if run.info.run_name == name]


def statuses(client: MlflowClient, name: str) -> list[str]:
    return [run.info.status for run in named(client, name)]


def age(ledger: FileLedger, tmp_path: Path, seconds: float) -> None:
    """Let the last sign of life be that old."""
    for key in ledger.ages("mlflow/alive"):
        path = tmp_path / "store" / ".ledger" / f"{key}.json"
        os.utime(path, (time.time() - seconds, time.time() - seconds))


@pytest.mark.slow
@pytest.mark.parametrize("with_store", [True, False])
def test_next_attempt_of_the_task_closes_the_run_and_is_marked(
    killed: MlflowClient, tmp_path: Path, with_store: bool
) -> None:
    attempt(WORK, tmp_path, store(tmp_path) if with_store else None)
    first, second = named(killed, "train")
    assert [first.info.status, second.info.status] == ["KILLED", "FINISHED"]
    assert first.data.tags["storm.closed"] == "killed; the next attempt closed it"
    assert second.data.tags["storm.attempt"] == "2"
    assert "storm.attempt" not in first.data.tags


@pytest.mark.slow
def test_another_task_closes_it_only_when_it_gives_no_sign_of_life(killed: MlflowClient, tmp_path: Path) -> None:
    other = Work(verb="report", task="report", key="other")
    age(store(tmp_path), tmp_path, 100)
    attempt(other, tmp_path, store(tmp_path))
    assert statuses(killed, "train") == ["RUNNING"], "it may be alive"
    age(store(tmp_path), tmp_path, 400)
    attempt(other, tmp_path, store(tmp_path))
    assert statuses(killed, "train") == ["KILLED"]


@pytest.mark.slow
def test_stage_of_another_run_closes_it_and_the_parent_above_it(
    killed: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(store(tmp_path), tmp_path, 400)
    monkeypatch.setenv("STORM_KFP_RUN_ID", "another")
    attempt(WORK, tmp_path, store(tmp_path))
    assert statuses(killed, "train") == ["KILLED", "FINISHED"]
    assert statuses(killed, KFP_RUN) == ["KILLED"]
    assert statuses(killed, "another") == ["RUNNING"], "its report did not come yet"


@pytest.mark.slow
def test_stage_of_another_store_leaves_it_alone(
    killed: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORM_KFP_RUN_ID", "another")
    attempt(WORK, tmp_path, FileLedger(FileLocation(path=tmp_path / "other-store")))
    assert statuses(killed, "train") == ["RUNNING", "FINISHED"]


def test_parent_ends_with_the_report_or_with_the_stage_that_fails_and_opens_again_for_the_next_attempt(
    database: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORM_KFP_RUN_ID", KFP_RUN)
    with pytest.raises(ValueError, match="a defect"), track(WORK, TrainLikeConfig(), store(tmp_path), tmp_path):
        raise ValueError("a defect")
    assert statuses(database, KFP_RUN) == ["FAILED"]
    attempt(WORK, tmp_path, store(tmp_path))
    assert statuses(database, KFP_RUN) == ["RUNNING"]
    attempt(Work(verb="report", task="report", key="other"), tmp_path, store(tmp_path))
    assert statuses(database, KFP_RUN) == ["FINISHED"]
    assert statuses(database, "train") == ["FAILED", "FINISHED"]
    assert store(tmp_path).ages("mlflow/alive") == {}
