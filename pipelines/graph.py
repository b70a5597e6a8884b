"""From a stage to a task of the graph, and from a function to a KFP pipeline with the run's arguments."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from google.protobuf import struct_pb2
from kfp import dsl

from components.signatures import Parameter, function_of
from components.stage_component import component
from pipelines.arguments import option_arguments
from pipelines.tasks import TaskSettings
from storm_core.run_arguments import argument_of
from storm_core.stages import RERUN, RUN_NAME

GraphComponent: TypeAlias = dsl.base_component.BaseComponent


class Graph:
    """A graph under construction: the values of its parameters, and what every task of it asks for."""

    def __init__(self, values: Mapping[str, Any], settings: TaskSettings) -> None:
        self.values = values
        self.settings = settings

    def task(self, verb: str, name: str | None = None, **given: Any) -> dsl.PipelineTask:
        """A task of the stage `verb`, called `name` in the UI: inputs as given, options as the run's arguments are."""
        options = {option: self.values[argument_of(verb, option)] for option in option_arguments(verb)}
        of_run = {RERUN: self.values[RERUN], RUN_NAME: dsl.PIPELINE_JOB_NAME_PLACEHOLDER}
        return self.settings.apply(component(verb)(**options, **of_run, **given), name or verb)


def make_pipeline(
    build: Callable[[Graph], Any],
    parameters: Sequence[Parameter],
    settings: TaskSettings,
    *,
    name: str,
    description: str,
    returns: Any,
) -> GraphComponent:
    """The KFP pipeline with these parameters whose tasks `build` makes."""
    function = function_of(
        parameters, lambda values: build(Graph(values, settings)), name=name, summary=description, returns=returns
    )
    pipeline = dsl.pipeline(name=name, description=description)(function)
    _restrict(pipeline, parameters)
    return pipeline


def _restrict(pipeline: GraphComponent, parameters: Sequence[Parameter]) -> None:
    """Write the values that parameters may have into the specification, which KFP's SDK has no way to say."""
    declared = pipeline.component_spec.implementation.graph.root.input_definitions.parameters
    for parameter in filter(lambda parameter: parameter.choices, parameters):
        declared[parameter.name].literals.extend(struct_pb2.Value(string_value=text) for text in parameter.choices)
