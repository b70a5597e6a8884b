"""What a Kubeflow Pipelines 2.17 server keeps and refuses, by its source: names, parameters, types, schedules.

https://github.com/kubeflow/pipelines, commit 020857a43a: backend/src/apiserver/template/v2_template.go says which
parameters it takes, server/pipeline_upload_server.go and storage/*.go which names. Runs go on by one task whenever they
are looked at.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

NOT_YET = "1970-01-01T00:00:00Z"
_TYPES: dict[str, type | tuple[type, ...]] = {
    "NUMBER_DOUBLE": (int, float),
    "NUMBER_INTEGER": (int, float),
    "STRING": str,
    "BOOLEAN": bool,
    "LIST": list,
    "STRUCT": dict,
}


class Refused(Exception):  # noqa: N818 (an answer)
    """An answer other than 200: HTTP's number, gRPC's code, and the message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def not_found(what: str, name: str) -> Refused:
    return Refused(404, 5, f"ResourceNotFoundError: {what} {name} not found")


def taken(what: str, name: str) -> Refused:
    return Refused(409, 6, f"Already exist error: Failed to create a new {what}. The name {name} already exists.")


def invalid(message: str) -> Refused:
    return Refused(400, 3, f"Failed to create a new run: Invalid input error: {message}")


@dataclass
class Course:
    """How a run goes: which tasks fail, and what KFP says of them; whether somebody cancels it."""

    failing: Mapping[str, str] = field(default_factory=dict)
    cancelled: bool = False


class State:
    """Pipelines, versions, experiments, runs and recurring runs, each as the API shows it."""

    def __init__(self, *, multi_user: bool = False, tag_name: str = "2.17.0") -> None:
        self.health = {"commit_sha": "unknown", "tag_name": tag_name, "multi_user": multi_user}
        self.pipelines: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.experiments: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.recurring_runs: dict[str, dict[str, Any]] = {}
        self.courses: list[Course] = []
        self._numbers = itertools.count(1)

    def create_pipeline(self, body: Mapping[str, Any]) -> dict[str, Any]:
        namespace = self._namespace(body)
        self._check_free(self.pipelines, "pipeline", body["name"], namespace=namespace)
        return self._add(self.pipelines, "pipeline_id", {**body, "namespace": namespace})

    def upload_version(self, pipeline_id: str, name: str, file_name: str, content: bytes) -> dict[str, Any]:
        if pipeline_id not in self.pipelines or not file_name.endswith((".yaml", ".yml")) or len(name) > 127:
            raise Refused(400, 3, "Failed to create a pipeline version")
        spec = read_spec(content)
        self._check_free(self.versions, "pipeline version", name, pipeline_id=pipeline_id)
        made = {"pipeline_id": pipeline_id, "name": name, "display_name": name, "pipeline_spec": spec}
        return self._add(self.versions, "pipeline_version_id", made)

    def create_experiment(self, body: Mapping[str, Any]) -> dict[str, Any]:
        namespace = self._namespace(body)
        self._check_free(self.experiments, "experiment", body["display_name"], namespace=namespace)
        return self._add(self.experiments, "experiment_id", {**body, "namespace": namespace})

    def create_run(self, body: Mapping[str, Any]) -> dict[str, Any]:
        version = self._check_run(body)
        course = self.courses.pop(0) if self.courses else Course()
        made = self._add(self.runs, "run_id", {**body, "state": "PENDING"})
        made["_steps"] = _steps(version["pipeline_spec"], course)
        made["run_details"] = {"task_details": []}
        return made

    def create_recurring_run(self, body: Mapping[str, Any]) -> dict[str, Any]:
        self._check_run(body)
        cron = body.get("trigger", {}).get("cron_schedule", {}).get("cron", "")
        if len(cron.split()) != 6 or not re.fullmatch(r"[0-9A-Za-z*?/, -]+", cron):
            raise invalid(f"Schedule cron is not supported: {cron}")
        if not 1 <= int(body.get("max_concurrency", 0)) <= 10:
            raise invalid("max concurrency must be between 1 and 10")
        return self._add(self.recurring_runs, "recurring_run_id", dict(body))

    def look_at(self, run_id: str) -> dict[str, Any]:
        """The run, after one more of its tasks ended."""
        run = self.get(self.runs, "Run", run_id)
        step = next(run["_steps"], None)
        if step:
            run["state"], ended = step
            run["run_details"]["task_details"] += ended
        return run

    def get(self, kept: Mapping[str, dict[str, Any]], what: str, name: str) -> dict[str, Any]:
        if name not in kept:
            raise not_found(what, name)
        return kept[name]

    def _check_run(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if not body.get("display_name"):
            raise invalid("The run name is empty. Please specify a valid name")
        self.get(self.experiments, "Experiment", body.get("experiment_id", ""))
        named = body.get("pipeline_version_reference", {})
        version = self.get(self.versions, "PipelineVersion", named.get("pipeline_version_id", ""))
        check_parameters(version["pipeline_spec"], body.get("runtime_config", {}).get("parameters", {}))
        return version

    def _namespace(self, body: Mapping[str, Any]) -> str:
        """A server without users has no namespaces, whatever is asked for."""
        if not self.health["multi_user"]:
            return ""
        if not body.get("namespace"):
            raise Refused(400, 3, "Invalid input error: it cannot have an empty namespace in multi-user mode")
        return str(body["namespace"])

    def _check_free(self, kept: Mapping[str, dict[str, Any]], what: str, name: str, **others: str) -> None:
        for one in kept.values():
            same = name in (one.get("name"), one.get("display_name"))
            if same and all(one.get(key) == value for key, value in others.items()):
                raise taken(what, name)

    def _add(self, kept: dict[str, dict[str, Any]], key: str, made: dict[str, Any]) -> dict[str, Any]:
        identity = f"00000000-0000-4000-8000-{next(self._numbers):012d}"
        kept[identity] = {key: identity, **made}
        return kept[identity]


class AtOnce(State):
    """One whose runs are over when they are looked at."""

    def look_at(self, run_id: str) -> dict[str, Any]:
        while (run := super().look_at(run_id))["state"] in ("PENDING", "RUNNING"):
            pass
        return run


def read_spec(content: bytes) -> dict[str, Any]:
    """The documents of a pipeline as KFP keeps them.

    Raises:
        Refused: it is not what KFP's own messages hold.
    """
    documents = [document for document in yaml.load_all(content, yaml.CSafeLoader) if document]
    pipelines = [one for one in documents if "pipelineInfo" in one]
    platforms = [one for one in documents if "platforms" in one]
    if len(pipelines) != 1 or len(platforms) > 1:
        raise Refused(400, 3, "no pipeline spec is provided")
    try:
        json_format.ParseDict(pipelines[0], PipelineSpec())
        for platform in platforms:
            json_format.ParseDict(platform, PlatformSpec())
    except json_format.ParseError as error:
        raise Refused(400, 3, f"invalid v2 pipeline spec: {error}") from None
    if pipelines[0].get("schemaVersion") != "2.1.0":
        raise Refused(400, 3, "KFP only supports schema version 2.1.0")
    return {"pipeline_spec": pipelines[0], "platform_spec": platforms[0]} if platforms else pipelines[0]


def check_parameters(kept: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse what `validatePipelineJobInputs` does, in its words."""
    spec = kept.get("pipeline_spec", kept)
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, parameter in declared.items():
        if name not in given:
            if not parameter.get("isOptional") and "defaultValue" not in parameter:
                raise invalid(
                    f"parameter {name} is not optional, yet has neither default value nor user provided value"
                )
            continue
        kind, value = parameter["parameterType"], given[name]
        is_number = kind.startswith("NUMBER")
        if not isinstance(value, _TYPES[kind]) or (is_number and isinstance(value, bool)):
            raise invalid(f"input parameter {name} requires type {kind}, but the value is not of it")
        if parameter.get("literals") and value not in parameter["literals"]:
            raise invalid(f"input parameter {name!r} does not match any of the allowed literal values")
    extra = sorted(set(given) - set(declared))
    if extra:
        raise invalid(f"parameter(s) provided are not required by pipeline: {', '.join(extra)}")


def _steps(kept: Mapping[str, Any], course: Course) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """State of the run and the tasks that ended, one look after another."""
    spec = kept.get("pipeline_spec", kept)
    yield "RUNNING", [_task("root", "RUNNING"), _task("root-driver", "SUCCEEDED")]
    if course.cancelled:
        yield "CANCELED", []
    for key in _containers(spec):
        failed = key in course.failing
        state = "FAILED" if failed else "SUCCEEDED"
        said = course.failing.get(key, "")
        nodes = [_task(f"{key}-driver", "SUCCEEDED"), _task(key, state, said), _task("executor", state)]
        yield ("FAILED" if failed else "RUNNING"), nodes
        if failed:
            return
    yield "SUCCEEDED", []


def _containers(spec: Mapping[str, Any]) -> Iterator[str]:
    """Tasks that run a container, by the names that Argo gives their nodes."""
    for dag in (spec["root"], *spec["components"].values()):
        for key, task in dag.get("dag", {}).get("tasks", {}).items():
            if "executorLabel" in spec["components"][task["componentRef"]["name"]]:
                yield key


_TASKS = itertools.count(1)


def _task(name: str, state: str, message: str = "") -> dict[str, Any]:
    started = datetime(2026, 1, 1, tzinfo=UTC)
    ended = (started + timedelta(seconds=32)).isoformat().replace("+00:00", "Z")
    task = {
        "task_id": str(next(_TASKS)),
        "display_name": name,
        "state": state,
        "start_time": started.isoformat().replace("+00:00", "Z"),
        "end_time": NOT_YET if state == "RUNNING" else ended,
    }
    if message:
        task["state_history"] = [{"state": state, "error": {"code": 13, "message": message}}]  # type: ignore[assignment]
    return task
