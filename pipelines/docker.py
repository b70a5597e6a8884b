"""The engine with containers: `kfp.local.DockerRunner`, each component in its own image, as a strict cluster runs it.

A container has no rights, a read-only root file system, a user that is not root, and a network that leads to this
machine alone, where the run's S3 store and MLflow server listen (`pipelines.services`).
"""

import contextlib
import os
import random
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import docker
from docker.types import Mount
from kfp import dsl, local
from kfp.local import config, docker_task_handler, status

from components import images
from pipelines.arguments import REFERENCES
from pipelines.local import LOG_DIRECTORY_VARIABLE, copy_output, quiet_kfp, tasks_run_by
from pipelines.services import Network
from storm_core.errors import InputError
from storm_core.log_lines import TASK_NAME_VARIABLE
from storm_core.stores.references import STORE_VARIABLE
from storm_core.tracking import PARENT_RUN_VARIABLE

# Variables of this process that reach every container, and all that begin with one of the prefixes.
PASSED = (
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "HF_TOKEN",
    "MLFLOW_EXPERIMENT_ID",
    "NO_PROXY",
    "OMP_NUM_THREADS",
    "OPENAI_API_KEY",
    PARENT_RUN_VARIABLE,
    STORE_VARIABLE,
    "TOKENIZERS_PARALLELISM",
    # Docker's client adds the proxies of its own configuration to a container's variables.
    "no_proxy",
)
PASSED_PREFIXES = ("AWS_", "STORM_LOG_")
# MLflow prints two lines with addresses at the end of each run, and one for each version that it waits for.
QUIET = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "1", "MLFLOW_LOGGING_LEVEL": "WARNING"}
# Between SIGTERM and SIGKILL, as Kubernetes has it unless told otherwise: a stage leaves a checkpoint in this time.
GRACE_SECONDS = 30


def run_in_containers(
    pipeline: dsl.base_component.BaseComponent,
    arguments: Mapping[str, Any],
    *,
    pipeline_root: Path,
    cache: Path,
    network: Network,
    tracking_uri: str,
) -> dict[str, Any]:
    """Run the pipeline, each task in a container of its component's image; returns the pipeline's outputs.

    Args:
        pipeline: the graph component.
        arguments: run arguments by name; what they refer to on this machine is mounted read-only at the same path.
        pipeline_root: directory for what passes between tasks.
        cache: directory where the containers keep what they fetched from the store.
        network: the only one that the containers see.
        tracking_uri: the MLflow server, as the containers see it.

    Raises:
        InputError: an image was not built.
        RuntimeError: a task failed.
    """
    chosen = images.chosen_by(arguments)
    _check_images(pipeline, chosen)
    cache.mkdir(exist_ok=True)
    runner = local.DockerRunner(
        user=_owner([cache, pipeline_root]),
        working_dir=str(Path.cwd()),
        environment={**QUIET, **_environment(), "MLFLOW_TRACKING_URI": tracking_uri, "STORM_CACHE": str(cache)},
        mounts=[Mount(str(cache), str(cache), type="bind"), *_data_mounts(arguments)],
        network=network.name,
        dns=network.resolvers,
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        shm_size="1g",
    )
    local.init(runner, pipeline_root=str(pipeline_root), raise_on_error=True)
    handler = partial(StageContainer, chosen=chosen)
    with tasks_run_by(handler, docker_task_handler, "DockerTaskHandler"), quiet_kfp():
        return dict(pipeline(**arguments).outputs)


class StageContainer(docker_task_handler.DockerTaskHandler):
    """KFP's own handler, but for what becomes of a container's lines, of its exit code, and of it when we stop.

    KFP's removes a container before it asks how it ended, takes one that is gone for a success, and leaves it running
    when it is interrupted itself.
    """

    def __init__(self, image: str, full_command: list[str], *, chosen: Mapping[str, str], **others: Any) -> None:
        super().__init__(chosen.get(_verb(full_command), image), full_command, **others)

    def run(self) -> status.Status:
        """Run the container; its lines go to the terminal and to a log file of its own."""
        runner: config.DockerRunner = self.runner
        name = self.env_vars.get(TASK_NAME_VARIABLE, _verb(self.full_command))
        log_path = Path(os.environ[LOG_DIRECTORY_VARIABLE]) / f"{name}.log"
        with contextlib.closing(docker.from_env()) as client:
            container = client.containers.create(
                self.image,
                self.full_command,
                environment=self.env_vars,
                volumes=self.get_volumes_to_mount(client),
                **runner.container_run_args,
            )
            try:
                container.start()
                with log_path.open("ab") as log:
                    copy_output(container.logs(stream=True, follow=True), log)
                code = container.wait()["StatusCode"]
            finally:
                container.stop(timeout=GRACE_SECONDS)  # Does nothing where it has ended.
                container.remove(force=True, v=True)
        return status.Status.SUCCESS if code == 0 else status.Status.FAILURE


def _verb(command: Sequence[str]) -> str:
    return command[1]


def _check_images(pipeline: dsl.base_component.BaseComponent, chosen: Mapping[str, str]) -> None:
    containers = [one["container"] for one in pipeline.pipeline_spec.deployment_spec["executors"].values()]
    used = {chosen.get(_verb(container["command"]), container["image"]) for container in containers}
    with contextlib.closing(docker.from_env()) as client:
        for image in sorted(used):
            try:
                client.images.get(image)
            except docker.errors.ImageNotFound:
                command = "make images IMAGES=all" if image == images.VLLM else "make images"
                raise InputError(f"there is no image {image}; run `{command}`") from None


def _environment() -> dict[str, str]:
    passed = (name for name in sorted(os.environ) if name in PASSED or name.startswith(PASSED_PREFIXES))
    return {name: os.environ[name] for name in passed if name != LOG_DIRECTORY_VARIABLE}


def _data_mounts(arguments: Mapping[str, Any]) -> list[Mount]:
    """Read-only mounts of what the arguments refer to, none inside another."""
    named = [arguments[one.name] for one in REFERENCES if arguments.get(one.name)]
    paths = sorted({Path.cwd() / reference for reference in named if Path(reference).exists()})
    outer = [path for path in paths if not any(path.is_relative_to(other) for other in paths if other != path)]
    return [Mount(str(path), str(path.resolve()), type="bind", read_only=True) for path in outer]


def _owner(written: list[Path]) -> str:
    """The containers' user, who owns the directories that they write.

    It is our own, and where we are root a random one, the same as in an earlier run in the first directory.
    """
    if os.getuid():
        return f"{os.getuid()}:{os.getgid()}"
    owner = written[0].stat().st_uid or random.randrange(100_000, 2**31)  # noqa: S311 (not for secrecy)
    for path in written:
        os.chown(path, owner, owner)
    return f"{owner}:{owner}"
