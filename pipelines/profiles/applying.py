"""A profile's fields as what KFP's SDK knows to say of a task."""

import json
import math
from collections.abc import Mapping

from kfp import dsl, kubernetes

from pipelines.profiles.checks import RUN_ID_VARIABLE, TRACKING_VARIABLE
from pipelines.profiles.contradictions import SCRATCH_ENVIRONMENT, SCRATCH_PATH, of_gpu_products
from pipelines.profiles.fields import Profile, TaskProfile
from pipelines.profiles.training_nodes import told
from pipelines.secrets import SECRETS
from storm_core.cluster.nodes import NODES_VARIABLE, VERBS
from storm_core.cluster.one_pod import PROCESSES_VARIABLE
from storm_core.stores.references import STORE_VARIABLE

# KFP's label on every pod of a run. On a pod without it, the variable is an empty string.
_RUN_ID_FIELD = "metadata.labels['pipeline/runid']"
_FIRST_WAIT_SECONDS = 60
# Argo counts from the first attempt's start, and a pod may wait for its node or for Kueue besides it computes.
_LONGEST_WAIT_SECONDS = 7 * 24 * 3600


def ask_for(task: dsl.PipelineTask, verb: str, profile: Profile) -> None:
    """Have the task, of the stage `verb`, ask for what the profile says. The profile must have passed `check`."""
    asked = profile.task(verb)
    _ask_for_resources(task, asked)
    _ask_for_a_place(task, asked)
    _mount_volumes(task, asked)
    _set_environment(task, asked, profile)
    _use_secrets(task, verb, profile.secrets)
    _mark_pod(task, asked)
    _limit_attempts(task, asked, on_nodes=_train_on_nodes(task, verb, asked, profile))
    if profile.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(profile.image_pull_secrets))


def _ask_for_resources(task: dsl.PipelineTask, asked: TaskProfile) -> None:
    for quantity, ask in (
        (asked.cpu_request, task.set_cpu_request),
        (asked.cpu_limit, task.set_cpu_limit),
        (asked.memory_request, task.set_memory_request),
        (asked.memory_limit, task.set_memory_limit),
    ):
        if quantity:
            ask(quantity)
    if asked.accelerator:
        task.set_accelerator_type(asked.accelerator.resource).set_accelerator_limit(asked.accelerator.count)


def _ask_for_a_place(task: dsl.PipelineTask, asked: TaskProfile) -> None:
    for label, value in asked.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    if asked.gpu_products:
        kubernetes.add_node_affinity(task, match_expressions=[of_gpu_products(asked.gpu_products)])
    for one in asked.tolerations:
        kubernetes.add_toleration(
            task,
            key=one.key,
            operator=one.operator,
            value=one.value,
            effect=one.effect,
            toleration_seconds=one.seconds,
        )


def _mount_volumes(task: dsl.PipelineTask, asked: TaskProfile) -> None:
    if asked.shared_memory:
        kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit=asked.shared_memory)  # noqa: S108
    if asked.scratch:
        kubernetes.add_ephemeral_volume(
            task,
            volume_name="scratch",
            mount_path=SCRATCH_PATH,
            access_modes=["ReadWriteOnce"],
            size=asked.scratch,
            storage_class_name=asked.scratch_class,
        )
    for source in asked.files_from:
        if source.secret:
            kubernetes.use_secret_as_volume(task, source.secret, source.path, optional=source.optional)
        elif source.config_map:
            kubernetes.use_config_map_as_volume(task, source.config_map, source.path, optional=source.optional)


def _set_environment(task: dsl.PipelineTask, asked: TaskProfile, profile: Profile) -> None:
    addresses = {STORE_VARIABLE: profile.store, TRACKING_VARIABLE: profile.tracking_uri}
    given = {name: value for name, value in addresses.items() if value}
    scratch = SCRATCH_ENVIRONMENT if asked.scratch else {}
    for name, value in {**given, **scratch, **asked.environment}.items():
        task.set_env_variable(name, value)
    for source in asked.environment_from:
        keys = dict(source.keys)
        if source.secret:
            kubernetes.use_secret_as_env(task, source.secret, keys, optional=source.optional)
        elif source.config_map:
            kubernetes.use_config_map_as_env(task, source.config_map, keys, optional=source.optional)
    kubernetes.use_field_path_as_env(task, RUN_ID_VARIABLE, _RUN_ID_FIELD)


def _use_secrets(task: dsl.PipelineTask, verb: str, names: Mapping[str, str]) -> None:
    """Give the task the secrets that its stage needs, as environment variables.

    Args:
        task: a task of the graph.
        verb: of its stage.
        names: the secret's name in the cluster, by kind.
    """
    for kind, name in names.items():
        secret = SECRETS[kind]
        if secret.verbs is None or verb in secret.verbs:
            kubernetes.use_secret_as_env(task, name, {key: key for key in secret.required})
            if secret.optional:
                kubernetes.use_secret_as_env(task, name, {key: key for key in secret.optional}, optional=True)


def _mark_pod(task: dsl.PipelineTask, asked: TaskProfile) -> None:
    for key, value in asked.labels.items():
        kubernetes.add_pod_label(task, key, value)
    for key, value in asked.annotations.items():
        kubernetes.add_pod_annotation(task, key, value)


def _train_on_nodes(task: dsl.PipelineTask, verb: str, asked: TaskProfile, profile: Profile) -> bool:
    """Tell the component of the nodes that it is to train on, or of its own devices; whether there are nodes."""
    if verb not in VERBS:
        return False
    if profile.training_nodes is None:
        if asked.accelerator and asked.accelerator.count > 1:
            task.set_env_variable(PROCESSES_VARIABLE, str(asked.accelerator.count))
        return False
    # Of the job, not of the component: what a job waits in a queue does not count.
    deadline = math.ceil(asked.timeout_hours * 3600) if asked.timeout_hours else None
    task.set_env_variable(NODES_VARIABLE, json.dumps(told(profile.training_nodes, deadline)))
    return True


def _limit_attempts(task: dsl.PipelineTask, asked: TaskProfile, *, on_nodes: bool) -> None:
    if asked.timeout_hours is None:
        return
    timeout = math.ceil(asked.timeout_hours * 3600)
    if not on_nodes:
        kubernetes.set_timeout(task, timeout)
    if asked.retries:
        task.set_retry(
            asked.retries,
            backoff_duration=f"{_FIRST_WAIT_SECONDS}s",
            backoff_factor=2.0,
            backoff_max_duration=f"{retrying_seconds(timeout, asked.retries)}s",
        )


def retrying_seconds(timeout_seconds: int, retries: int) -> int:
    """How long after the first attempt's start the last one may still run.

    Argo tries no longer than this, and stops what runs then; KFP makes it an hour unless told otherwise. It is every
    attempt's timeout and wait for a place, and what doubles between attempts.
    """
    attempts = retries + 1
    between = _FIRST_WAIT_SECONDS * ((1 << retries) - 1)
    return attempts * (timeout_seconds + _LONGEST_WAIT_SECONDS) + between
