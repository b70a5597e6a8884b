"""What a run expects to find in its namespace, in lines for a person."""

from collections.abc import Iterator

from pipelines.profiles.fields import Profile, TaskProfile
from pipelines.secrets import SECRETS
from storm_core.stages import STAGES


def expectations(profile: Profile) -> list[str]:
    """What must be there, a line each, with the tasks that need it."""
    lines = [SECRETS[kind].describe(name) for kind, name in profile.secrets.items()]
    lines += [f"secret {name}, with which the images are pulled" for name in profile.image_pull_secrets]
    needed: dict[str, list[str]] = {}
    for verb in STAGES:
        for line in _of_task(profile.task(verb)):
            needed.setdefault(line, []).append(verb)
    lines += [f"{line}, for {_tasks(verbs)}" for line, verbs in needed.items()]
    if nodes := profile.training_nodes:
        lines.append(
            f"{nodes.runtime_kind} {nodes.runtime} of Kubeflow Trainer, and the role storm-trainjobs, for train"
        )
        lines += [f"claim {one.name}, for train" for one in nodes.claims]
    if profile.service_account:
        identity = ", whose identity opens the store" if profile.credentials else ""
        lines.append(f"service account {profile.service_account}{identity}: choose it when you start the run")
    elif profile.credentials:
        lines.append("a service account whose identity opens the store: choose it when you start the run")
    return lines


def _of_task(task: TaskProfile) -> Iterator[str]:
    for variables in task.environment_from:
        wanted = _wanted(variables.secret, variables.config_map, optional=variables.optional)
        yield f"{wanted} (keys: {', '.join(variables.keys)})"
    for directory in task.files_from:
        wanted = _wanted(directory.secret, directory.config_map, optional=directory.optional)
        yield f"{wanted}, as files in {directory.path}"


def _wanted(secret: str | None, config_map: str | None, *, optional: bool) -> str:
    what = f"secret {secret}" if secret else f"config map {config_map}"
    return f"perhaps {what}" if optional else what


def _tasks(verbs: list[str]) -> str:
    return "every task" if len(verbs) == len(STAGES) else ", ".join(verbs)
