"""What the pipeline says of every task."""

from kfp import dsl

from storm_core.log_lines import TASK_NAME_VARIABLE


def named(task: dsl.PipelineTask, name: str) -> dsl.PipelineTask:
    """The same task, called `name` in the KFP UI, in MLflow and in its own log lines."""
    return task.set_display_name(name).set_env_variable(TASK_NAME_VARIABLE, name)
