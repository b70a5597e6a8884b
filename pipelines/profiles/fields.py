"""Every field of a profile: its name, what it may hold, what it is for, and its default."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.profiles import kubernetes_kinds as kinds
from pipelines.profiles.kinds import (
    Kind,
    choice,
    field,
    join,
    listed,
    mapped,
    number,
    read_fields,
    refuse,
    refuse_unknown,
    text,
    whole_number,
)
from pipelines.profiles.parts import (
    ACCELERATOR,
    ENVIRONMENT_SOURCES,
    FILE_SOURCES,
    TOLERATIONS,
    Accelerator,
    EnvironmentSource,
    FileSource,
    Toleration,
)
from pipelines.profiles.training_nodes import TRAINING_NODES, TrainingNodes
from pipelines.secrets import SECRETS
from storm_core.registry.config import REGISTERED_MODEL_NAMES, is_registered_model_name
from storm_core.stages import STAGES

CPU, CUDA = "cpu", "cuda"
SERVICE_ACCOUNT = "service-account"


NODE_LABELS = mapped(kinds.LABEL_KEY, kinds.LABEL_VALUE, "a mapping of labels to strings")
LABELS = mapped(kinds.OWN_KEY, kinds.LABEL_VALUE, "a mapping of keys to strings")
ANNOTATIONS = mapped(kinds.OWN_KEY, kinds.PLAIN_TEXT, "a mapping of keys to strings")


@dataclass(frozen=True, kw_only=True)
class TaskProfile:
    """What one task gets."""

    image: str = field(choice(CPU, CUDA), "the build of the task's image; of `storm-core` there is one only", CPU)
    cpu_request: str | None = field(kinds.PROCESSORS, "processors that are kept for the task", None)
    cpu_limit: str | None = field(
        kinds.PROCESSORS, "processors that it may use; it computes with as many threads", None
    )
    memory_request: str | None = field(kinds.BYTES, "memory that is kept for the task", None)
    memory_limit: str | None = field(kinds.BYTES, "memory at which it is killed", None)
    accelerator: Accelerator | None = field(  # noqa: RUF009
        ACCELERATOR, "devices that it gets; a slice by MIG is a resource too", None
    )
    gpu_products: tuple[str, ...] = field(
        listed(kinds.LABEL_VALUE, "a list of values of nvidia.com/gpu.product"),
        "the only GPUs that it runs on, by the label that NVIDIA's GPU feature discovery gives nodes",
        (),
    )
    node_selector: Mapping[str, str] = field(
        mapped(kinds.LABEL_KEY, kinds.LABEL_VALUE, "a mapping of labels to strings"),
        "labels that its node must have",
        {},
    )
    tolerations: tuple[Toleration, ...] = field(
        TOLERATIONS,
        "taints that its node may have",
        (),
    )
    shared_memory: str | None = field(kinds.BYTES, "size of `/dev/shm`; it counts as the task's memory", None)
    scratch: str | None = field(
        kinds.BYTES, "size of a generic ephemeral volume for `/tmp` and the cache of artifacts in it", None
    )
    scratch_class: str | None = field(kinds.NAME, "storage class of that volume; else the cluster's default", None)
    timeout_hours: float | None = field(number(0, 24 * 365), "after which an attempt is stopped", None)
    retries: int = field(whole_number(0, 10), "how often it is tried again; asks for timeout_hours", 0)
    measured_hours: float | None = field(
        number(0, 24 * 365), "what one task of the verb took here, as measured; `submit --dry-run` adds it up", None
    )
    environment: Mapping[str, str] = field(
        mapped(kinds.VARIABLE, kinds.PLAIN_TEXT, "a mapping of variables to strings"), "variables and their values", {}
    )
    environment_from: tuple[EnvironmentSource, ...] = field(
        ENVIRONMENT_SOURCES,
        "variables out of secrets and config maps",
        (),
    )
    files_from: tuple[FileSource, ...] = field(
        FILE_SOURCES,
        "secrets and config maps as directories of files",
        (),
    )
    labels: Mapping[str, str] = field(LABELS, "labels of its pod", {})
    annotations: Mapping[str, str] = field(ANNOTATIONS, "annotations of its pod", {})


def _read_tasks(path: str, given: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(given, dict):
        refuse(path, TASKS.allowed, given)
    for verb in given:
        if verb not in STAGES:
            refuse_unknown(join(path, verb), verb, STAGES)
    return {verb: read_fields(TaskProfile, f"{path}.{verb}", one) for verb, one in given.items()}


def _read_secrets(path: str, given: Any) -> dict[str, str]:
    if not isinstance(given, dict):
        refuse(path, NAMED_SECRETS.allowed, given)
    for kind in given:
        if kind not in SECRETS:
            refuse_unknown(join(path, kind), kind, SECRETS)
    return {kind: kinds.NAME.read(f"{path}.{kind}", name) for kind, name in given.items()}


TASK = Kind("a mapping of a task's fields", lambda path, given: read_fields(TaskProfile, path, given))
TASKS = Kind("a mapping of verbs to a task's fields", _read_tasks)
NAMED_SECRETS = Kind(f"a mapping of {', '.join(SECRETS)} to names", _read_secrets)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a cluster gives to a run and to each of its tasks."""

    store: str | None = field(text("s3://bucket or s3://bucket/prefix", str), "`--store`", None)
    tracking_uri: str | None = field(text("http://host or https://host", str), "`--tracking-uri`", None)
    registered_model_name: str | None = field(
        text(REGISTERED_MODEL_NAMES, is_registered_model_name), "`--registered-model-name`", None
    )
    registry: str | None = field(kinds.REGISTRY, "`--registry`", None)
    secrets: Mapping[str, str] = field(NAMED_SECRETS, "`--s3-secret` and the like", {})
    credentials: str | None = field(
        choice(SERVICE_ACCOUNT), "that the service account's identity (IRSA, workload identity) opens the store", None
    )
    service_account: str | None = field(kinds.NAME, "`--service-account`", None)
    image_pull_secrets: tuple[str, ...] = field(
        listed(kinds.NAME, "a list of names of secrets"), "secrets with which the images are pulled", ()
    )
    shards_at_once: int | None = field(whole_number(1, 10_000), "how many shards are scored side by side", None)
    price_per_gpu_hour: float | None = field(
        number(0, 100_000), "what one device costs for an hour, in any currency; `submit --dry-run` shows the sum", None
    )
    training_nodes: TrainingNodes | None = field(  # noqa: RUF009
        TRAINING_NODES, "nodes of a TrainJob, which `train` makes, follows and computes nothing beside", None
    )
    default: Mapping[str, Any] = field(TASK, "what every task gets", {})
    tasks: Mapping[str, Mapping[str, Any]] = field(TASKS, "what tasks of a verb get besides or instead", {})

    def task(self, verb: str) -> TaskProfile:
        """What tasks of the verb get: mappings and lists add to those of `default`, other values replace them."""
        merged = dict(self.default)
        for name, value in self.tasks.get(verb, {}).items():
            general = merged.get(name)
            if isinstance(general, dict):
                merged[name] = {**general, **value}
            elif isinstance(general, tuple):
                merged[name] = (*general, *value)
            else:
                merged[name] = value
        return TaskProfile(**merged)
