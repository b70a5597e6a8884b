"""What the pipeline says of every task besides its inputs: name, image, and what a profile has it ask a cluster for."""

from collections.abc import Callable
from dataclasses import dataclass

from kfp import dsl

from pipelines.profiles.applying import ask_for
from pipelines.profiles.expectations import expectations
from pipelines.profiles.fields import Profile
from storm_core.log_lines import TASK_NAME_VARIABLE


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """What is said of the tasks.

    Attributes:
        image_name: the name to pull an image by, of a task's verb and the image that its component names.
        profile: what a cluster gives to them; None where they run on this machine.
    """

    image_name: Callable[[str, str], str] = lambda _verb, image: image
    profile: Profile | None = None

    def apply(self, task: dsl.PipelineTask, name: str) -> dsl.PipelineTask:
        """The same task, called `name` in the KFP UI, in MLflow and in its own log lines, with all that it asks for."""
        container = task.container_spec
        _, verb = container.command
        task.set_container_image(self.image_name(verb, container.image))
        task.set_env_variable(TASK_NAME_VARIABLE, name)
        if self.profile:
            ask_for(task, verb, self.profile)
        return without_caching(task.set_display_name(name))

    def expectations(self) -> list[str]:
        """What must be in the namespace of a run, a line each."""
        return expectations(self.profile) if self.profile else []

    def shards_at_once(self) -> int | None:
        """How many shards may be scored side by side; None where any number may."""
        return self.profile.shards_at_once if self.profile else None


def without_caching(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """The same task, run whenever it is reached.

    KFP's cache knows neither store nor secrets nor code, and answers with artifacts that were deleted since. A stage
    asks the store itself, which checks all of it in seconds.
    """
    return task.set_caching_options(False)
