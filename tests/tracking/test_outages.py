"""MLflow is away, slow, or refuses: no result is lost, and one line says what to do."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from storm_core.errors import InputError
from storm_core.stores.file_ledger import FileLedger
from storm_core.stores.locations import FileLocation
from storm_core.tracking import Work, track
from storm_core.tracking.session import SECONDS_AT_THE_END
from tests.conftest import complaints
from tests.tracking.conftest import Server, TrainLikeConfig, runs_of
from tests.tracking.refusing_server import answering

PASSWORD = "correct horse"  # noqa: S105 (of no server)
ROOT = Path(__file__).parents[2]
STAGE = """
from dataclasses import dataclass
from storm_core.config import StageConfig
from storm_core.stage import Output, Results, Stage

@dataclass(frozen=True, kw_only=True)
class NapConfig(StageConfig):
    pass

def run(config, inputs, outputs):
    (outputs["dream"] / "dream.txt").write_text("sheep")
    return Results(metrics={"sheep": 3.0})

NAP = Stage(verb="nap", summary="Sleep.", config=NapConfig, inputs={},
            outputs={"dream": Output(kind="dream", help="a dream")}, run="napping:run")
"""
PROGRAM = "import sys; from storm_core import cli; cli.STAGES['nap'] = 'napping:NAP'; sys.exit(cli.main())"
WORK = Work(verb="train", task="train", key="key")


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's client as a user may set it: it tries once."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, no_patience: None) -> str:
    """An address at which nobody answers, with a password in it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://somebody:{PASSWORD.replace(' ', '-')}@127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    return url


@pytest.fixture
def stoppable(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of this test alone, not started yet."""
    directory = tmp_path / "server"
    directory.mkdir()
    (directory / "mlflow.db").write_bytes(empty_database.read_bytes())
    server = Server(directory)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    yield server
    server.stop()


def store(tmp_path: Path) -> FileLedger:
    return FileLedger(FileLocation(path=tmp_path / "store"))


def test_stage_ends_well_without_the_server_and_the_next_one_logs_what_it_kept(
    nobody: str, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setenv("STORM_KFP_RUN_ID", "a-run")
    with track(WORK, TrainLikeConfig(), store(tmp_path), tmp_path) as run:
        for step in range(6000):
            run.log_metrics({"loss": 1 / (step + 1)}, step=step)
        run.log_results({"tokens_trained": 61440})
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("train: MLflow at 127.0.0.1:") and first.endswith("it is asked again until the stage ends")
    assert last.startswith("train: what MLflow did not get is kept in .ledger/unlogged/")
    assert "horse" not in first + last
    kept = store(tmp_path).ages("unlogged")
    assert len(kept) == 2, "a note has its bounds"
    assert all("horse" not in str(store(tmp_path).read(key)) for key in kept)

    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with track(Work(verb="merge", task="merge", key="other"), TrainLikeConfig(), store(tmp_path), tmp_path):
        pass
    assert capsys.readouterr().err.splitlines() == ["merge: logged to MLflow what train had kept"]
    assert store(tmp_path).ages("unlogged") == {}
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = {run.info.run_name: run for run in runs_of(client)}
    assert sorted(runs) == ["a-run", "merge", "train"]
    train = runs["train"]
    assert train.info.status == "FINISHED"
    assert train.data.params["learning_rate"] == "0.1"
    assert train.data.tags["mlflow.parentRunId"] == runs["a-run"].info.run_id
    assert runs["a-run"].data.metrics == {"tokens_trained": 61440}
    assert len(client.get_metric_history(train.info.run_id, "loss")) == 6000
    assert train.info.end_time < runs["merge"].info.end_time


def test_without_a_store_it_is_kept_beside_the_outputs(nobody: str, tmp_path: Path) -> None:
    with track(WORK, TrainLikeConfig(), None, tmp_path / "out"):
        pass
    assert len(list((tmp_path / "out" / ".ledger" / "unlogged").rglob("*.json"))) == 1


def test_command_ends_well_with_no_traceback_and_no_password(nobody: str, tmp_path: Path) -> None:
    (tmp_path / "napping.py").write_text(STAGE)
    command = [sys.executable, "-c", PROGRAM, "nap", "--dream", str(tmp_path / "out" / "dream")]
    variables = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}", "STORM_STORE": (tmp_path / "store").as_uri()}
    finished = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert finished.returncode == 0
    away, kept, done = complaints(finished.stderr)
    assert "does not answer: Connection refused" in away
    assert ".ledger/unlogged/" in kept
    assert done.startswith("storm nap: done")
    assert "horse" not in finished.stderr + finished.stdout
    (key,) = store(tmp_path).ages("unlogged")
    metrics = (store(tmp_path).read(key) or {})["run"]["metrics"]
    assert [(point["key"], point["value"]) for point in metrics] == [("sheep", 3.0)]


def test_error_of_the_stage_is_not_hidden_by_that_of_the_server(nobody: str, tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="bad input"),
        track(WORK, TrainLikeConfig(), store(tmp_path), tmp_path),
    ):
        raise InputError("bad input")
    (key,) = store(tmp_path).ages("unlogged")
    assert (store(tmp_path).read(key) or {})["status"] == "FAILED"


def test_stage_whose_result_is_in_mlflow_says_why_it_cannot_run(nobody: str, tmp_path: Path) -> None:
    with (
        pytest.raises(
            InputError, match=r"^MLflow at 127\.0\.0\.1:\d+ does not answer: Connection refused; train cannot"
        ),
        track(WORK, TrainLikeConfig(), None, tmp_path) as run,
    ):
        run.connection()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, "You are not authenticated.", "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        (403, "Permission denied", "ask for the right to edit the experiment"),
        (403, "Invalid Host header - possible DNS rebinding attack detected", "--allowed-hosts 127.0.0.1:"),
        (404, "<html>no such page</html>", "check MLFLOW_TRACKING_URI"),
    ],
)
def test_refusal_is_said_once_with_what_to_do_and_not_repeated(
    status: int, body: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    with answering(status, body) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        with track(WORK, TrainLikeConfig(), store(tmp_path), tmp_path) as run:
            run.log_results({"loss": 1.0})
    assert len(server.asked) == 1
    said, kept = capsys.readouterr().err.splitlines()
    assert words in said and "it is not asked again" in said
    assert "is kept in .ledger/unlogged/" in kept


def test_slow_server_does_not_hold_up_what_is_logged_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_patience: None
) -> None:
    with answering(503, "busy", seconds=0.5) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        with track(WORK, TrainLikeConfig(), store(tmp_path), tmp_path) as run:
            started = time.monotonic()
            for step in range(2000):
                run.log_metrics({"loss": 1.0}, step=step)
            assert time.monotonic() - started < 0.4


def test_stage_that_is_over_waits_for_a_server_that_hangs_no_longer_than_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_patience: None
) -> None:
    monkeypatch.setitem(SECONDS_AT_THE_END, "FINISHED", 1.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    with answering(503, "busy", seconds=4) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        with track(WORK, TrainLikeConfig(), store(tmp_path), tmp_path):
            started = time.monotonic()
        assert time.monotonic() - started < 2
    assert len(store(tmp_path).ages("unlogged")) == 1


@pytest.mark.slow
def test_server_that_comes_back_while_the_stage_runs_gets_everything(
    stoppable: Server, no_patience: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr("storm_core.tracking.delivery._SECONDS_AFTER_A_FAILURE", 1.0)
    monkeypatch.setattr("storm_core.tracking.delivery._SECONDS_BETWEEN_BATCHES", 0.5)
    with track(WORK, TrainLikeConfig(), store(tmp_path), tmp_path) as run:
        run.log_metrics({"loss": 3.0}, step=1)
        stoppable.start()
        wait_for_points(stoppable, 1)
        stoppable.stop()
        run.log_metrics({"loss": 2.0}, step=2)
        time.sleep(3)
        stoppable.start()
        run.log_metrics({"loss": 1.0}, step=3)
    (one,) = stoppable.runs()
    assert one.info.status == "FINISHED"
    history = stoppable.client().get_metric_history(one.info.run_id, "loss")
    assert [point.value for point in history] == [3.0, 2.0, 1.0]
    assert store(tmp_path).ages("unlogged") == {}
    lines = capsys.readouterr().err.splitlines()
    assert lines.count("train: MLflow answers again") == 2
    assert len(lines) == 4


def wait_for_points(server: Server, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for run in server.runs():
            if len(server.client().get_metric_history(run.info.run_id, "loss")) >= count:
                return
        time.sleep(0.5)
    raise TimeoutError


@pytest.mark.slow
def test_server_that_refuses_the_name_it_is_called_by_is_named_the_option(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    server = Server(tmp_path, "--allowed-hosts", "mlflow.example:5000")
    server.start()
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        with track(WORK, TrainLikeConfig(), store(tmp_path), tmp_path):
            pass
    finally:
        server.stop()
    said = capsys.readouterr().err.splitlines()[0]
    assert f"start the server with --allowed-hosts {server.url.removeprefix('http://')}" in said


class KeepsAll(FileLedger):
    """A ledger whose user may remove nothing."""

    def tidy(self, key: str) -> bool:
        return False


def test_what_was_kept_is_logged_once_where_it_cannot_be_removed(
    database: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, there = KeepsAll(FileLocation(path=tmp_path / "store")), os.environ["MLFLOW_TRACKING_URI"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:99999")
    with track(WORK, TrainLikeConfig(), ledger, tmp_path):
        pass
    monkeypatch.setenv("MLFLOW_TRACKING_URI", there)
    for _ in range(2):
        with track(Work(verb="scan", task="scan"), TrainLikeConfig(), ledger, tmp_path):
            pass
    assert sorted(run.data.tags["mlflow.runName"] for run in runs_of(database)) == ["scan", "scan", "train"]
