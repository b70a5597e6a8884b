"""A recipe submitted to a Kubeflow Pipelines that runs, and what came of it: tasks, KFP's files, the store, MLflow."""

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from mlflow import MlflowClient

from storm_core.manifest import MANIFEST_NAME, Manifest, parse_manifest

ROOT = Path(__file__).parents[2]
# What says where it is, and what for. `manifests/kind/forwarded` sets all of them.
VARIABLES = {
    "STORM_KFP_HOST": "the address of Kubeflow Pipelines",
    "STORM_KFP_FLAGS": "what `python -m pipelines submit` is told of its cluster",
    "STORM_KFP_ARTIFACTS": "where KFP keeps artifacts, as s3://mlpipeline/v2/artifacts",
    "MLFLOW_TRACKING_URI": "the MLflow of its runs, as this machine reaches it",
}
_RUN = re.compile(r"^run +.+: (\S+)$", re.M)
_TASK = re.compile(r"^  (\S.*?) +(succeeded|failed|skipped|canceled) +(?:\d+ s)?$", re.M)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where runs are submitted to; the flags of `submit` beside recipe and address."""

    host: str
    flags: tuple[str, ...]
    artifacts: str


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A run that ended well: its ID, and name and state of each task in the order in which they ended."""

    run_id: str
    tasks: list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One file that KFP's launcher kept of a run: its task, and its path below the task's directory."""

    task: str
    path: str
    key: str


def place_in(environment: Mapping[str, str]) -> Place:
    """The place that these variables say; one that is not set fails the test, as nothing would be tested."""
    missing = [f"{name} ({purpose})" for name, purpose in VARIABLES.items() if not environment.get(name)]
    assert not missing, (
        f"not set: {', '.join(missing)}; manifests/kind/forwarded sets them for `make cluster`'s cluster"
    )
    host, flags, artifacts, _ = (environment[name] for name in VARIABLES)
    return Place(host=host, flags=tuple(shlex.split(flags)), artifacts=artifacts)


def submit(place: Place, recipe: Path) -> Submitted:
    """Submit the recipe as a person would, and wait for it; it has to succeed."""
    command = [sys.executable, "-m", "pipelines", "submit", "--recipe", str(recipe), "--host", place.host]
    finished = subprocess.run([*command, *place.flags, "--wait"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    found = _RUN.search(finished.stdout)
    assert found, finished.stdout
    return Submitted(run_id=found[1], tasks=_TASK.findall(finished.stdout))


def kept_by_kfp(place: Place, run_id: str) -> list[Kept]:
    """What lies below `<pipeline>/<run>/<task>/<uuid>/`, where KFP keeps artifacts."""
    bucket, prefix = _bucket(place)
    listed = (
        boto3.session.Session()
        .client("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=bucket, Prefix=f"{prefix}/")
    )
    keys = [one["Key"] for page in listed for one in page.get("Contents", [])]
    parted = [(key, re.fullmatch(rf".+/{re.escape(run_id)}/([^/]+)/[^/]+/(.+)", key)) for key in keys]
    return [Kept(task=found[1], path=found[2], key=key) for key, found in parted if found]


def results(place: Place, kept: list[Kept]) -> list[tuple[str, Manifest]]:
    """The tasks' names and the manifests that they handed on by KFP."""
    s3, (bucket, _) = boto3.session.Session().client("s3"), _bucket(place)
    files = [one for one in kept if one.path.endswith(f"/{MANIFEST_NAME}")]
    return [
        (one.task, parse_manifest(s3.get_object(Bucket=bucket, Key=one.key)["Body"].read(), one.key)) for one in files
    ]


def mlflow_runs(run_id: str) -> tuple[Any, list[Any]]:
    """MLflow's run of the KFP run, and those of its tasks."""
    tracking = MlflowClient()
    experiments = [one.experiment_id for one in tracking.search_experiments()]
    mine = f"tags.`kfp.pipeline_run_id` = '{run_id}'"
    found = tracking.search_runs(experiments, filter_string=mine, max_results=1000)
    (parent,) = (run for run in found if "mlflow.parentRunId" not in run.data.tags)
    below = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    return parent, list(tracking.search_runs(experiments, filter_string=below, max_results=1000))


def _bucket(place: Place) -> tuple[str, str]:
    bucket, _, prefix = place.artifacts.removeprefix("s3://").partition("/")
    return bucket, prefix.rstrip("/")
