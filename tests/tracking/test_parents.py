"""One parent run for a KFP run, whoever comes first."""

import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from storm_core.stores.file_ledger import FileLedger
from storm_core.stores.ledger import Ledger
from storm_core.stores.locations import FileLocation
from storm_core.tracking import Work, track
from tests.tracking.conftest import Server, TrainLikeConfig, runs_of

TASKS = 6
KFP_RUN = "0b1c2d3e-1111-2222-3333-444455556666"


def track_one(number: int, store: Path | None, outputs: Path, barrier: Barrier | None = None) -> None:
    ledger: Ledger | None = FileLedger(FileLocation(path=store)) if store else None
    if barrier:
        import mlflow  # noqa: F401 (takes seconds, and the tasks are to start side by side)

        barrier.wait(timeout=120)
    work = Work(verb="train", task=f"task-{number}", key=f"key-{number}")
    with track(work, TrainLikeConfig(), ledger, outputs):
        pass


@pytest.mark.slow
def test_tasks_that_start_side_by_side_make_one_parent(
    shared_server: Server, experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORM_KFP_RUN_ID", KFP_RUN)
    monkeypatch.setenv("STORM_KFP_RUN_NAME", "storm on tuesday")
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(TASKS)
    processes = [
        context.Process(target=track_one, args=(number, tmp_path / "store", tmp_path, barrier))
        for number in range(TASKS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=180)
    assert [process.exitcode for process in processes] == [0] * TASKS
    runs = shared_server.runs(experiment)
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert parent.info.run_name == "storm on tuesday"
    assert parent.data.tags["kfp.pipeline_run_id"] == KFP_RUN
    below = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted(run.info.run_name for run in below) == [f"task-{number}" for number in range(TASKS)]
    deleted = shared_server.client().search_runs([parent.info.experiment_id], run_view_type=2)
    assert deleted == [], "nobody but the first made a run"


def test_parent_without_a_store_is_found_by_its_tag(database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORM_KFP_RUN_ID", KFP_RUN)
    for number in range(2):
        track_one(number, None, tmp_path)
    runs = runs_of(database)
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert parent.info.run_name == KFP_RUN
    assert len(runs) == 3


def test_parent_has_the_address_of_the_kfp_run_where_it_is_known(
    database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORM_KFP_RUN_ID", KFP_RUN)
    monkeypatch.setenv("STORM_KFP_URL", "https://kfp.example/pipeline/")
    track_one(0, tmp_path / "store", tmp_path)
    (parent,) = [run for run in runs_of(database) if "mlflow.parentRunId" not in run.data.tags]
    address = f"https://kfp.example/pipeline/#/runs/details/{KFP_RUN}"
    assert parent.data.tags["kfp.pipeline_run_url"] == address


def test_a_run_made_twice_by_a_repeated_request_is_there_once(
    database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORM_KFP_RUN_ID", KFP_RUN)
    experiment = database.create_experiment("storm")
    made = [database.create_run(experiment, tags={"kfp.pipeline_run_id": KFP_RUN}).info.run_id for _ in range(2)]
    track_one(0, tmp_path / "store", tmp_path)
    parent, below = sorted(database.search_runs([experiment]), key=lambda run: "mlflow.parentRunId" in run.data.tags)
    assert parent.info.run_id in made
    assert below.data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_empty_or_unfilled_variables_name_no_run(database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORM_KFP_RUN_ID", "")
    monkeypatch.setenv("STORM_KFP_RUN_NAME", "{{$.pipeline_job_name}}")
    track_one(0, tmp_path / "store", tmp_path)
    (run,) = runs_of(database)
    assert "mlflow.parentRunId" not in run.data.tags


def test_parent_that_a_server_does_not_find_yet_is_the_one_just_made(
    database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STORM_KFP_RUN_ID", KFP_RUN)
    with monkeypatch.context() as patched:
        patched.setattr("mlflow.MlflowClient.search_runs", lambda *_, **__: [])
        track_one(1, None, tmp_path)
    parent, task = sorted(runs_of(database), key=lambda run: "mlflow.parentRunId" in run.data.tags)
    assert task.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert capsys.readouterr().err == ""
