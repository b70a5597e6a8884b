"""A stage as a KFP container component: its inputs, outputs, values and options, and the command of its verb."""

from collections.abc import Mapping
from typing import Any

from kfp import dsl

from components.images import IMAGE_OF
from components.signatures import REQUIRED, RERUN_PARAMETER, Parameter, function_of, option_parameters
from storm_core.stage import Input, Stage
from storm_core.stages import EXECUTOR_INPUT, RUN_NAME, flag, load_stage

# By the kind of an artifact, where KFP has a class for it.
ARTIFACT_CLASSES = {"model": dsl.Model, "examples": dsl.Dataset, "selection": dsl.Dataset}
RUN = Parameter(name=RUN_NAME, annotation=str, help="the name of the run; KFP fills it in", default="")
METRICS = Parameter(name="metrics", annotation=dsl.Output[dsl.Metrics], help="the numbers of the stage", written=True)
PAGE = Parameter(name="page", annotation=dsl.Output[dsl.HTML], help="what came out, as a page", written=True)


def component(verb: str) -> dsl.base_component.BaseComponent:
    """The component of `storm <verb>`, in the image that `components.images` names."""
    stage = load_stage(verb)
    parameters = [*_artifact_parameters(stage), *option_parameters(stage.config), RERUN_PARAMETER, RUN, METRICS, PAGE]

    def container(values: Mapping[str, Any]) -> dsl.ContainerSpec:
        # `{{$}}` is KFP's placeholder for the ExecutorInput: it has the run's name, and the place for what is reported.
        args = [EXECUTOR_INPUT, "{{$}}"]
        for name, value in values.items():
            if name not in (RUN.name, METRICS.name):
                args += [flag(name), getattr(value, "path", value)]
        return dsl.ContainerSpec(image=IMAGE_OF[verb], command=["storm", verb], args=args)

    return dsl.container_component(
        function_of(parameters, container, name=verb, summary=stage.summary, returns=dsl.ContainerSpec)
    )


def _artifact_parameters(stage: Stage) -> list[Parameter]:
    """What the stage reads and writes: artifacts, and small values."""
    inputs = [_input_parameter(name, declared) for name, declared in stage.inputs.items()]
    outputs = [
        Parameter(name=name, annotation=dsl.Output[_artifact_class(output.kind)], help=output.help, written=True)
        for name, output in stage.outputs.items()
    ]
    values = [
        Parameter(name=name, annotation=dsl.OutputPath(value.type), help=value.help, written=True)
        for name, value in stage.values.items()
    ]
    return [*inputs, *outputs, *values]


def _input_parameter(name: str, declared: Input) -> Parameter:
    """An artifact of another task; or text, where it names artifacts itself."""
    if declared.many:
        return Parameter(name=name, annotation=list[str], help=declared.help)
    if declared.external:
        default = "" if declared.optional else REQUIRED
        return Parameter(name=name, annotation=str, help=declared.help, default=default)
    return Parameter(name=name, annotation=dsl.Input[_artifact_class(declared.kind)], help=declared.help)


def _artifact_class(kind: str) -> type[dsl.Artifact]:
    found: type[dsl.Artifact] = ARTIFACT_CLASSES.get(kind, dsl.Artifact)
    return found
