"""The graph of the recipe, the only definition of it: which task's output is whose input.

Curation (prepare, score, select) and the Spectrum scan both start from the base model; training needs both. The audit
of the judge needs all verdicts, and nothing waits for it. The tuned model is merged with its sibling, the merge is
quantized, five models are measured on one suite, and the gate's decision goes with the models into the registry.
"""

from functools import partial
from typing import NamedTuple

from kfp import dsl

from pipelines.arguments import option_arguments, run_arguments
from pipelines.graph import Graph, GraphComponent, make_pipeline
from pipelines.score_shards import RUBRICS, score_shards_pipeline
from pipelines.tasks import TaskSettings, without_caching
from storm_core.stages import RERUN

DESCRIPTION = "Self-curation, Spectrum fine-tuning, SLERP, FP8, evaluation and promotion"


class Outputs(NamedTuple):
    """What a person reads: the report on the run, and the report on the judge."""

    report: dsl.Artifact
    audit: dsl.Artifact


def storm_pipeline(settings: TaskSettings = TaskSettings()) -> GraphComponent:  # noqa: B008 (frozen)
    """The recipe's graph as a KFP pipeline whose tasks ask for what `settings` say."""
    build = partial(build_storm, score_shards=score_shards_pipeline(settings))
    parameters = list(run_arguments().values())
    return make_pipeline(build, parameters, settings, name="storm", description=_describe(settings), returns=Outputs)


def _describe(settings: TaskSettings) -> str:
    """What the KFP UI says of the pipeline."""
    expected = settings.expectations()
    return "\n".join([DESCRIPTION, *(["A run expects in its namespace", *expected] if expected else [])])


def build_storm(graph: Graph, score_shards: GraphComponent) -> Outputs:
    """Make the tasks of the recipe in `graph`; returns what a person reads."""
    data, rubrics = graph.values["data"], graph.values[RUBRICS.name]
    base = graph.task("fetch", "fetch-base", source=graph.values["base_model"]).outputs["model"]
    sibling = graph.task("fetch", "fetch-sibling", source=graph.values["sibling_model"]).outputs["model"]
    prepared = graph.task("prepare", data=data).outputs
    scan = graph.task("scan", model=base).outputs["scan"]
    judged = {"model": base, "examples": prepared["examples"]}
    names = [RUBRICS.name, RERUN, *(argument.name for argument in option_arguments("score").values())]
    given = {name: graph.values[name] for name in names}
    scored = score_shards(**judged, shard_indices=prepared["shard_indices"], **given)
    verdicts = without_caching(scored).output
    audit = graph.task("audit", **judged, verdicts=verdicts, rubrics=rubrics).outputs["audit"]
    selection = graph.task("select", examples=prepared["examples"], verdicts=verdicts).outputs["selection"]
    held_out = graph.values["train_held_out"]
    trained = graph.task("train", model=base, selection=selection, scan=scan, held_out=held_out).outputs
    merged = graph.task("merge", base_model=trained["tuned_model"], other_model=sibling).outputs["merged_model"]
    quantized = graph.task("quantize", model=merged).outputs["quantized_model"]
    models = {
        "base": base,
        "sibling": sibling,
        "tuned": trained["tuned_model"],
        "merged": merged,
        "quantized": quantized,
    }
    evaluations = {
        f"{name}_evaluation": graph.task("evaluate", f"evaluate-{name}", model=model, data=data).outputs["evaluation"]
        for name, model in models.items()
    }
    decision = graph.task("gate", **evaluations).outputs["decision"]
    registration = graph.task(
        "register",
        merged_model=merged,
        quantized_model=quantized,
        merged_evaluation=evaluations["merged_evaluation"],
        quantized_evaluation=evaluations["quantized_evaluation"],
        decision=decision,
    ).outputs["registration"]
    report = graph.task(
        "report",
        selection=selection,
        verdicts=verdicts,
        scan=scan,
        training=trained["training"],
        decision=decision,
        registration=registration,
        **evaluations,
    ).outputs["report"]
    return Outputs(report=report, audit=audit)
