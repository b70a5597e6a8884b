"""Following a run to its end: its tasks as they end, and how it ended."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.submission.server import MissingError, Server, UnreachableError
from storm_core.errors import InputError

SUCCEEDED, FAILED = "SUCCEEDED", "FAILED"
_ENDED = (SUCCEEDED, FAILED, "SKIPPED", "CANCELED")
LOOK_AGAIN_SECONDS = 5.0
# For so long a server may be gone while a run is waited for.
GONE_SECONDS = 600.0


class UnknownRunError(InputError):
    """The server has no such run, or none any more."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a run ended, and what KFP says of the tasks that failed, a line each."""

    state: str
    failed: list[str]


@dataclass
class _Seen:
    """What of a run was printed."""

    names: Mapping[str, str] | None = None
    tasks: set[str] = field(default_factory=set)


def wait(server: Server, run_id: str) -> Ending:
    """Print each task of the run as it ends, until the run does.

    Raises:
        UnknownRunError: the server has no such run.
        InputError: the server was gone for too long, or refuses.
    """
    seen = _Seen()
    while True:
        run = _get_run(server, run_id)
        if seen.names is None:
            seen.names = _task_names(server, run)
        tasks = [task for task in _tasks(run) if task.display_name in seen.names]
        for task in tasks:
            if task.state in _ENDED and task.task_id not in seen.tasks:
                seen.tasks.add(task.task_id)
                print(f"  {seen.names[task.display_name]:20} {task.state.lower():10} {_seconds(task)}", flush=True)
        if run.state in _ENDED:
            names = seen.names
            failed = [_failure(names[task.display_name], task) for task in tasks if task.state == FAILED]
            return Ending(state=run.state, failed=failed or _of_the_run(run))
        time.sleep(LOOK_AGAIN_SECONDS)


def _get_run(server: Server, run_id: str) -> Any:
    """The run, from a server that may be gone for a while."""
    deadline, told = time.monotonic() + GONE_SECONDS, False
    while True:
        try:
            return server.call(server.client.runs.run_service_get_run, run_id)
        except MissingError as error:
            raise UnknownRunError(str(error)) from None
        except UnreachableError as error:
            if time.monotonic() > deadline:
                raise InputError(f"{error}, for {GONE_SECONDS:.0f} s now") from None
            if not told:
                print(f"{error}; asking again for {GONE_SECONDS:.0f} s", flush=True)
            told = True
            time.sleep(LOOK_AGAIN_SECONDS)


def _tasks(run: Any) -> list[Any]:
    return (run.run_details.task_details if run.run_details else None) or []


def _task_names(server: Server, run: Any) -> dict[str, str]:
    """What the pipeline calls each task that runs a container, by the name that KFP gives it in a run."""
    reference = run.pipeline_version_reference
    if reference is None:
        return _names_in(run.pipeline_spec or {})
    version = server.call(
        server.client.pipelines.pipeline_service_get_pipeline_version,
        reference.pipeline_id,
        reference.pipeline_version_id,
    )
    return _names_in(version.pipeline_spec or {})


def _names_in(spec: Mapping[str, Any]) -> dict[str, str]:
    # With settings of Kubernetes KFP keeps two documents as one.
    pipeline = spec.get("pipeline_spec", spec)
    components = pipeline.get("components", {})
    return {
        key: task["taskInfo"]["name"]
        for dag in (pipeline.get("root", {}), *components.values())
        for key, task in dag.get("dag", {}).get("tasks", {}).items()
        if "executorLabel" in components.get(task["componentRef"]["name"], {})
    }


def _seconds(task: Any) -> str:
    # What has not started or ended has the time 0.
    if not task.start_time or not task.end_time or task.start_time.year < 2000 or task.end_time.year < 2000:
        return ""
    return f"{(task.end_time - task.start_time).total_seconds():.0f} s"


def _failure(name: str, task: Any) -> str:
    return ": ".join([name, *dict.fromkeys(_messages(task))])


def _messages(task: Any) -> Iterator[str]:
    """What KFP tells of an error; of a container that ended with an error it is often nothing."""
    for holder in (task, *(task.state_history or [])):
        if holder.error and holder.error.message:
            yield " ".join(holder.error.message.split())


def _of_the_run(run: Any) -> list[str]:
    return [_failure("the run", run)] if list(_messages(run)) else []
