"""From a recipe to a run on Kubeflow Pipelines: looked at, brought there, started, and waited for."""

import shlex
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from components.images import IMAGE_OF
from pipelines.compilation import image_names, pipeline_name, warnings, write_pipeline
from pipelines.profiles.fields import Profile
from pipelines.recipes import load_recipe
from pipelines.submission.cron import kfp_cron
from pipelines.submission.estimate import plan_lines, size
from pipelines.submission.followers import with_followers
from pipelines.submission.plan import plan
from pipelines.submission.references import LocalArtifact, check_addresses, local_artifacts, push, submitted
from pipelines.submission.requirements import check_images, check_secrets
from pipelines.submission.runs import RunRequest, experiment_id, recurring_run, start_run
from pipelines.submission.server import Server, UnreachableError
from pipelines.submission.versions import Version, find_or_upload, version_name
from pipelines.submission.waiting import FAILED, SUCCEEDED, UnknownRunError, wait
from pipelines.tasks import TaskSettings
from storm_core.errors import InputError
from storm_core.stages import RERUN
from storm_core.stores.references import open_store

INTERRUPTED = 130
# Where KFP is installed, and what it uses where users have no namespaces.
KFP_NAMESPACE = "kubeflow"


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What is submitted, and how.

    Attributes:
        recipe: YAML file of run arguments.
        profile_name: as it was asked for.
        profile: with what was given besides.
        digests: the images' build metadata.
        allow_local_images: whether images may have no digest.
        rerun: the verb that is computed afresh with all that follows; None where the store may answer for any.
    """

    recipe: Path
    profile_name: str
    profile: Profile
    digests: Path | None = None
    allow_local_images: bool = False
    rerun: str | None = None

    def afresh(self) -> dict[str, list[str]]:
        """The run's argument of that, which the version does not have: it is the same one."""
        return {RERUN: with_followers(self.rerun)} if self.rerun else {}


class Ready(NamedTuple):
    """What was looked at: the run's arguments as they are submitted, local artifacts, and the image of each verb."""

    arguments: dict[str, Any]
    local: Mapping[str, LocalArtifact]
    settings: TaskSettings
    images: Mapping[str, str]


class Started(NamedTuple):
    """A version on a server, and what every run of it is."""

    server: Server
    request: RunRequest
    run_name: str


def look_at(submission: Submission) -> Ready:
    """Refuse what cannot work there; nothing is written.

    Raises:
        InputError: the recipe, a reference, an address or an image cannot work.
        StoreError: the store cannot be used from here.
    """
    profile = submission.profile
    submission.afresh()
    arguments = load_recipe(submission.recipe, profile.registered_model_name)
    name = image_names(arguments, profile, submission.digests)
    images = {verb: name(verb, image) for verb, image in IMAGE_OF.items()}
    if not submission.allow_local_images:
        check_images(images)
    if profile.store is None:
        raise InputError("give --store, or a profile that has one: tasks hand on what they make by it")
    check_addresses(arguments, profile)
    local = local_artifacts(arguments, profile.store)
    return Ready(submitted(arguments, local), local, TaskSettings(image_name=name, profile=profile), images)


def show_plan(submission: Submission) -> None:
    """Print what a run would do; nothing is submitted and nothing is pushed."""
    ready = look_at(submission)
    _say_local(ready.local, "is to be pushed")
    known = {one.uri: one.manifest for one in ready.local.values()}
    tasks = plan({**ready.arguments, **submission.afresh()}, open_store(str(submission.profile.store)), known)
    print(*plan_lines(tasks, submission.profile, ready.images.__getitem__), sep="\n")


def bring(submission: Submission, host: str | None, namespace: str | None, experiment: str) -> Started:
    """Bring the recipe's artifacts to the store and its pipeline to the server.

    Raises:
        InputError: something cannot work, or the server refuses it.
        StoreError: the store cannot be used from here.
    """
    ready = look_at(submission)
    server = Server(host, namespace)
    for warning in filter(None, (server.warning(), *warnings(submission.profile, ready.arguments))):
        print(f"python -m pipelines submit: warning: {warning}", file=sys.stderr)
    print(f"secrets     {check_secrets(submission.profile, server.namespace or namespace or KFP_NAMESPACE)}")
    _say_local(ready.local, "pushed")
    push(ready.local, str(submission.profile.store))
    version = _upload(submission, ready, server)
    print(f"version     {version.name}, {'uploaded' if version.is_new else 'there already'}")
    request = RunRequest(
        version=version,
        arguments={**ready.arguments, **submission.afresh()},
        experiment_id=experiment_id(server, experiment),
        service_account=submission.profile.service_account,
    )
    return Started(server, request, submission.recipe.stem)


def _upload(submission: Submission, ready: Ready, server: Server) -> Version:
    name = pipeline_name(submission.recipe)
    with tempfile.TemporaryDirectory() as directory:
        pipeline = Path(directory) / "pipeline.yaml"
        write_pipeline(ready.settings, ready.arguments, name, pipeline)
        return find_or_upload(
            server, name, version_name(submission.recipe, submission.profile_name, pipeline), pipeline
        )


def _say_local(local: Mapping[str, LocalArtifact], done: str) -> None:
    for name, one in local.items():
        state = "in the store already" if one.is_there else done
        print(f"{name:11} {size(one.size())}, {state}: {one.uri}")


def run(started: Started, profile: Profile, *, waits: bool, resubmit: int) -> int:
    """Start a run and perhaps wait for it; returns the exit code.

    A run that failed is started again, `resubmit` times at most: KFP does not say whether another attempt may mend
    what failed, and the store keeps what was finished. One that was cancelled is not.
    """
    for attempt in range(resubmit + 1):
        run_id = _start(started, profile, attempt)
        if not waits:
            return 0
        code, state = watch(started.server, run_id)
        if state != FAILED or attempt == resubmit:
            break
        print(f"submitted again, {resubmit - attempt - 1} more to come at most")
    return code


def _start(started: Started, profile: Profile, attempt: int) -> str:
    name = f"{started.run_name} {time.strftime('%Y-%m-%d %H:%M:%S')}" + (f" ({attempt + 1})" if attempt else "")
    try:
        run_id = start_run(started.server, started.request, name)
    except UnreachableError as error:
        raise InputError(f"{error}; the run may have been started all the same: look before you submit again") from None
    print(f"run         {name}: {run_id}")
    print(f"KFP         {started.server.page(f'runs/details/{run_id}')}")
    if profile.tracking_uri:
        experiment = profile.task("train").environment.get("MLFLOW_EXPERIMENT_NAME", "storm")
        print(f"MLflow      {profile.tracking_uri}, experiment {experiment}")
    return run_id


def watch(server: Server, run_id: str) -> tuple[int, str]:
    """Wait for a run that goes on by itself; returns the exit code and the run's state, "" where it still runs."""
    again = "To wait again: " + _watch_command(server, run_id)
    try:
        ending = wait(server, run_id)
    except (KeyboardInterrupt, SystemExit):
        print(f"\nnot waiting any more; the run goes on. {again}")
        return INTERRUPTED, ""
    except UnknownRunError as error:
        page = server.page("runs")
        raise InputError(f"{error}; a run is named by its ID, which {page} has, and is gone once deleted") from None
    except InputError as error:
        raise InputError(f"{error}; what was started goes on. {again}") from None
    print(f"the run {ending.state.lower()}")
    for line in ending.failed:
        print(f"  failed: {line}")
    return int(ending.state != SUCCEEDED), ending.state


def _watch_command(server: Server, run_id: str) -> str:
    flags = {"--host": server.host, "--namespace": server.namespace}
    given = [part for flag, value in flags.items() if value for part in (flag, value)]
    return shlex.join(["python", "-m", "pipelines", "watch", *given, run_id])


def schedule(started: Started, cron: str) -> None:
    """Make a recurring run of the version, one at a time and without making up for what was missed."""
    fields = kfp_cron(cron)
    name = f"{started.request.version.name} at {fields}"
    run_id, state = recurring_run(started.server, started.request, name, fields)
    print(f"schedule    {fields} (second, minute, hour, day, month, weekday; in the time zone of KFP's controller)")
    print(f"recurring   {run_id}, {state}; one run at a time, no catch-up")
    print(f"KFP         {started.server.page(f'recurringrun/details/{run_id}')}")
