"""What the pipeline says of every task besides its inputs: name, image, environment, secrets and resources."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kfp import dsl, kubernetes

from pipelines.resources import RESOURCES
from pipelines.secrets import SECRETS
from storm_core.log_lines import TASK_NAME_VARIABLE


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """What a cluster gives to the tasks.

    Attributes:
        image_name: the name to pull an image by, of a task's verb and the image that its component names.
        environment: variables of every task.
        secrets: names of secrets in the cluster, by kind.
        service_account: what the pods are to run as. KFP takes it with a run; a pipeline can only say so.
    """

    image_name: Callable[[str, str], str] = lambda _verb, image: image
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    service_account: str | None = None

    def apply(self, task: dsl.PipelineTask, name: str) -> dsl.PipelineTask:
        """The same task, called `name` in the KFP UI, in MLflow and in its own log lines, with all that it asks for."""
        container = task.container_spec
        _, verb = container.command
        task.set_container_image(self.image_name(verb, container.image))
        for variable, value in {TASK_NAME_VARIABLE: name, **self.environment}.items():
            task.set_env_variable(variable, value)
        use_secrets(task, verb, self.secrets)
        resources = RESOURCES[verb]
        task.set_cpu_request(resources.cpu_request).set_cpu_limit(resources.cpu_limit)
        task.set_memory_request(resources.memory_request)
        return without_caching(task.set_display_name(name))

    def expectations(self) -> list[str]:
        """What must be in the namespace of a run, a line each."""
        lines = [SECRETS[kind].describe(name) for kind, name in self.secrets.items()]
        if self.service_account:
            lines.append(f"service account {self.service_account}: choose it when you start the run")
        return lines


def use_secrets(task: dsl.PipelineTask, verb: str, names: Mapping[str, str]) -> None:
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


def without_caching(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """The same task, run whenever it is reached.

    KFP's cache knows neither store nor secrets nor code, and answers with artifacts that were deleted since. A stage
    asks the store itself, which checks all of it in seconds.
    """
    return task.set_caching_options(False)
