"""One run of a recipe on this machine: its directory, its MLflow parent run, and what it leaves for a person."""

import contextlib
import fcntl
import logging
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Param

from pipelines.database import database_uri
from pipelines.engines import ENGINES, SUBPROCESS, Engine, check_path, check_store
from pipelines.local import LOG_DIRECTORY_VARIABLE
from pipelines.recipes import load_recipe
from storm_core.destinations import check_directory
from storm_core.errors import InputError
from storm_core.machine_errors import NamesFullDisk
from storm_core.progress import report
from storm_core.stopping import Stopped
from storm_core.stores.references import open_reference
from storm_core.tracking import PARENT_RUN_VARIABLE
from storm_core.tracking.failures import failures, in_words, quieten_client
from storm_core.tracking.headlines import parameter_text
from storm_core.tracking.opening import find_experiment

# What a person reads, by the output of the pipeline that holds it.
REPORT_FILES = {"report": ("report.html", "results.json"), "audit": ("judge.html", "judge.json")}


def run_recipe(
    recipe_path: Path, runs_directory: Path, *, engine: str = SUBPROCESS, registered_model_name: str | None = None
) -> Path:
    """Run the whole recipe and return its directory, `<runs_directory>/<recipe name>`.

    The directory then holds `report.html`, `results.json`, `judge.html`, `judge.json`, `mlflow.db`, `logs/`, and unless
    `STORM_STORE` names another store, `artifacts/` or, of the engine with containers, `s3/`. What an earlier run left
    in the store is reused where code, options and inputs are the same. `registered_model_name` replaces the recipe's.

    Raises:
        InputError: the recipe cannot work, or a stage said so.
    """
    arguments = load_recipe(recipe_path, registered_model_name)
    check_store(engine)
    check_directory(runs_directory / recipe_path.stem)
    directory = (runs_directory / recipe_path.stem).resolve()
    check_path(directory, engine)
    directory.mkdir(parents=True, exist_ok=True)
    with NamesFullDisk({directory: directory}), _only_run_in(directory):
        _run(recipe_path, arguments, directory, engine)
    return directory


def _run(recipe_path: Path, arguments: dict[str, Any], directory: Path, engine: str) -> None:
    _make_directories(directory)
    with _database_in_words(directory):
        client, parent_run_id = _start_parent_run(directory, recipe_path, arguments)
    _set_environment(directory, parent_run_id, reads_hub=_refers_to(arguments, "hf://"))
    started = time.monotonic()
    final_status = "FAILED"
    try:
        with ENGINES[engine](directory, alone=not _refers_to(arguments, "://")) as chosen:
            outputs = chosen.run(arguments)
            _copy_reports(outputs, directory, client, parent_run_id)
        final_status = "FINISHED"
    except Stopped:
        final_status = "KILLED"
        raise
    except RuntimeError as error:
        raise InputError(f"the run stopped: {_one_line(error)}; logs are in {directory / 'logs'}") from error
    finally:
        _end_parent_run(client, parent_run_id, final_status)
    _say_where_to_look(directory, chosen, time.monotonic() - started)


def _refers_to(arguments: dict[str, Any], mark: str) -> bool:
    return any(mark in str(value) for value in arguments.values())


@contextlib.contextmanager
def _only_run_in(directory: Path) -> Iterator[None]:
    """Hold the directory's lock; the system frees it when the process ends, however it ends.

    Raises:
        InputError: another run holds it.
    """
    with (directory / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another run is under way in {directory}; wait for it or stop it") from None
        yield


def _make_directories(directory: Path) -> None:
    for name in ("artifacts", "mlflow-artifacts"):
        (directory / name).mkdir(exist_ok=True)
    for name in ("kfp", "logs"):  # Only the last run's.
        shutil.rmtree(directory / name, ignore_errors=True)
        (directory / name).mkdir()
    for name in chain.from_iterable(REPORT_FILES.values()):  # A failed run must not show the last one's report.
        (directory / name).unlink(missing_ok=True)


@contextlib.contextmanager
def _database_in_words(directory: Path) -> Iterator[None]:
    """Say in one line why the run's own MLflow database cannot be used, as after an MLflow that is newer than ours.

    Raises:
        InputError: it cannot.
    """
    try:
        yield
    except failures() as error:
        raise InputError(f"{directory / 'mlflow.db'}: {in_words(error)}; mend it, or move it away") from error


def _end_parent_run(client: MlflowClient, run_id: str, status: str) -> None:
    """End the run in MLflow; where that fails, what ended the run is told all the same."""
    try:
        client.set_terminated(run_id, status)
    except failures() as error:
        report(f"the run is not ended in MLflow: {in_words(error)}", "warning")


def _start_parent_run(directory: Path, recipe_path: Path, arguments: dict[str, Any]) -> tuple[MlflowClient, str]:
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    quieten_client()
    uri = database_uri(directory)
    os.environ["MLFLOW_TRACKING_URI"] = uri
    client = MlflowClient(tracking_uri=uri)
    name = recipe_path.stem
    location = (directory / "mlflow-artifacts").as_uri()
    experiment_id = find_experiment(client, name, location)
    _end_earlier_runs(client, experiment_id)
    run = client.create_run(experiment_id, run_name=f"storm-{name}", tags={"storm.recipe": recipe_path.name})
    params = [Param(argument, parameter_text(value)) for argument, value in arguments.items()]
    client.log_batch(run.info.run_id, params=params)
    os.environ["MLFLOW_EXPERIMENT_ID"] = experiment_id
    return client, run.info.run_id


def _end_earlier_runs(client: MlflowClient, experiment_id: str) -> None:
    """End what a run that was killed left running in MLflow: no other run is under way in the directory."""
    for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'"):
        client.set_terminated(run.info.run_id, "KILLED")


def _set_environment(directory: Path, parent_run_id: str, *, reads_hub: bool) -> None:
    """What every stage of the run inherits."""
    os.environ[PARENT_RUN_VARIABLE] = parent_run_id
    os.environ[LOG_DIRECTORY_VARIABLE] = str(directory / "logs")
    for name in ("MLFLOW_RUN_ID", "KFP_MLFLOW_CONFIG", "STORM_KFP_RUN_ID"):
        os.environ.pop(name, None)
    if not reads_hub:
        # Models and data are local; a stage that reached for a hub would be a mistake.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _copy_reports(outputs: dict[str, Any], directory: Path, client: MlflowClient, parent_run_id: str) -> None:
    for output, names in REPORT_FILES.items():
        artifact = open_reference(outputs[output].path)
        for name in names:
            shutil.copyfile(artifact.file(name), directory / name)
            client.log_artifact(parent_run_id, str(directory / name))


def _say_where_to_look(directory: Path, engine: Engine, seconds: float) -> None:
    shown = _relative(directory)
    print(f"\nThe whole recipe ran in {seconds:.0f} s. Where to look:")
    print(f"  report      {shown / 'report.html'}")
    print(f"  judge       {shown / 'judge.html'}")
    print(f"  numbers     {shown / 'results.json'}")
    print(f"  models      {_relative(engine.models) if isinstance(engine.models, Path) else engine.models}")
    print(f"  MLflow      {_mlflow_command(directory)}")


def _mlflow_command(directory: Path) -> str:
    program = Path(sys.executable).parent / "mlflow"
    command = shlex.join([str(program), "ui", f"--backend-store-uri={database_uri(directory)}"])
    return f"MLFLOW_DISABLE_TELEMETRY=true {command}"


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _one_line(error: Exception) -> str:
    without_colours = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    return " ".join(without_colours.split())
