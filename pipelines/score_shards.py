"""Fan-out: the shards of the examples are scored side by side."""

from functools import partial

from kfp import dsl

from components.signatures import RERUN_PARAMETER, Parameter
from pipelines.arguments import REFERENCES, option_arguments
from pipelines.graph import Graph, GraphComponent, make_pipeline
from pipelines.tasks import TaskSettings

RUBRICS = next(reference for reference in REFERENCES if reference.name == "score_rubrics")


def score_shards_pipeline(settings: TaskSettings) -> GraphComponent:
    """The loop over the shards as a pipeline, to be a task of another: it returns the references of the verdicts."""
    # A pipeline of its own, because kfp.local loops over a pipeline's argument but not over a task's output.
    parameters = [
        Parameter(name="model", annotation=dsl.Input[dsl.Model], help="the judge"),
        Parameter(name="examples", annotation=dsl.Input[dsl.Dataset], help="what prepare wrote"),
        Parameter(name="shard_indices", annotation=list[int], help="the shards to score"),
        RUBRICS,
        RERUN_PARAMETER,
        *option_arguments("score").values(),
    ]
    summary = "Score every shard by itself."
    build = partial(_score, at_once=settings.shards_at_once())
    return make_pipeline(build, parameters, settings, name="score-shards", description=summary, returns=list[str])


def _score(graph: Graph, at_once: int | None) -> dsl.Collected:
    values = graph.values
    with dsl.ParallelFor(values["shard_indices"], parallelism=at_once) as shard:
        scored = graph.task(
            "score", model=values["model"], examples=values["examples"], rubrics=values[RUBRICS.name], shard=shard
        )
    return dsl.Collected(scored.outputs["verdicts_reference"])
