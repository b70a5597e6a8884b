"""What the fields of a profile must be together."""

from collections.abc import Iterator, Mapping
from itertools import chain

from pipelines.profiles.contradictions import SCRATCH_ENVIRONMENT, contradictions
from pipelines.profiles.fields import CUDA, Profile, TaskProfile
from pipelines.profiles.parts import EnvironmentSource
from pipelines.secrets import SECRETS
from storm_core.cluster.nodes import NODES_VARIABLE
from storm_core.cluster.one_pod import PROCESSES_VARIABLE
from storm_core.errors import InputError
from storm_core.log_lines import TASK_NAME_VARIABLE
from storm_core.stages import STAGES
from storm_core.stores.references import STORE_VARIABLE

# The stages that run a whole model, on an accelerator where there is one. `quantize` goes tensor by tensor, and the
# image storm-core computes on processors alone.
ACCELERATED = ("score", "audit", "train", "evaluate")
# The variable by which a stage learns of the KFP run that it is part of.
RUN_ID_VARIABLE = "STORM_KFP_RUN_ID"
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
# What sets a variable that is not for a profile to set.
_OWNED = {
    STORE_VARIABLE: "store",
    TRACKING_VARIABLE: "tracking_uri",
    TASK_NAME_VARIABLE: "the pipeline",
    RUN_ID_VARIABLE: "the pipeline",
    NODES_VARIABLE: "training_nodes",
    PROCESSES_VARIABLE: "accelerator",
    "KFP_POD_NAME": "KFP",
    "KFP_POD_UID": "KFP",
    "KFP_RETRY_INDEX": "KFP",
}
# Volumes of a task's pod: the profile's, KFP's and Argo's.
_VOLUMES = {"scratch", "shm", "kfp-launcher", "ca-bundle", "kfp-workspace", "var-run-argo", "tmp-dir-argo"}
_VOLUMES |= {"argo-staging", "input-artifacts"}
_VOLUMES |= {f"{place}-scratch" for place in ("gcs", "s3", "minio", "dot-local", "dot-cache", "dot-config")}
_CREDENTIALS = {key for secret in SECRETS.values() for key in secret.required} | {"AWS_SESSION_TOKEN"}


def check(profile: Profile) -> None:
    """Refuse a profile whose fields contradict each other, or which Kubernetes would not take.

    Raises:
        InputError: it names the field by its path in the profile.
    """
    if profile.credentials and "s3" in profile.secrets:
        raise InputError(f"credentials is {profile.credentials}, and secrets.s3 is given; one of them opens the store")
    if profile.training_nodes and profile.training_nodes.accelerator and profile.task("train").image != CUDA:
        raise InputError(f"training_nodes.accelerator must come with image: {CUDA} of train, which the nodes run too")
    for verb in STAGES:
        task = profile.task(verb)
        rules = (
            contradictions(task),
            _retries(task),
            _accelerator(verb, task),
            _files(task),
            _environment(profile, verb, task),
        )
        for field, wrong in chain(*rules):
            place = f"tasks.{verb}" if field in profile.tasks.get(verb, {}) else "default"
            raise InputError(f"{place}.{field} {wrong}")


def _retries(task: TaskProfile) -> Iterator[tuple[str, str]]:
    if task.retries and task.timeout_hours is None:
        yield "retries", "must come with timeout_hours: by it KFP is told how long to go on trying"


def _accelerator(verb: str, task: TaskProfile) -> Iterator[tuple[str, str]]:
    if task.accelerator and verb not in ACCELERATED:
        yield "accelerator", f"is of no use to {verb}; only {', '.join(ACCELERATED)} compute on one"
    if task.accelerator and task.image != CUDA:
        yield "accelerator", f"must come with image: {CUDA}; the other build computes on processors alone"


def _files(task: TaskProfile) -> Iterator[tuple[str, str]]:
    """KFP makes a volume for each, called as the secret or config map is."""
    names = set(_VOLUMES)
    paths: set[str] = set()
    for source in task.files_from:
        name = source.secret or source.config_map or ""
        if name in names:
            yield "files_from", f"names {name} twice, or a volume of KFP's, Argo's or the profile's is called so"
        if source.path in paths:
            yield "files_from", f"mounts two sources at {source.path}"
        names.add(name)
        paths.add(source.path)


def _environment(profile: Profile, verb: str, task: TaskProfile) -> Iterator[tuple[str, str]]:
    """Variables that two sources set, of which Kubernetes would take either; and those that are not to be set here."""
    owners = {**_OWNED, **_secret_owners(profile, verb)}
    owners |= dict.fromkeys(SCRATCH_ENVIRONMENT, "scratch") if task.scratch else {}
    for variable in task.environment:
        if variable in owners:
            yield "environment", f"must leave {variable} to {owners[variable]}"
        if variable in _CREDENTIALS:
            yield "environment", f"must not hold {variable}, which is a secret: name one under secrets"
    owners |= dict.fromkeys(task.environment, "environment")
    for source in task.environment_from:
        for variable in source.keys.values():
            if variable in owners:
                yield "environment_from", f"must leave {variable} to {owners[variable]}"
            owners[variable] = _name(source)


def _secret_owners(profile: Profile, verb: str) -> Mapping[str, str]:
    """By variable the field under `secrets` that sets it in tasks of the verb."""
    return {
        key: f"secrets.{kind}"
        for kind in profile.secrets
        if SECRETS[kind].verbs is None or verb in (SECRETS[kind].verbs or ())
        for key in (*SECRETS[kind].required, *SECRETS[kind].optional)
    }


def _name(source: EnvironmentSource) -> str:
    return source.secret or source.config_map or ""
