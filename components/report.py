"""Component `report`."""

from kfp import dsl

from components.command import storm
from components.images import CORE
from storm_core.reporting.config import ReportConfig


@dsl.container_component
def report(
    selection: dsl.Input[dsl.Dataset],
    verdicts: list[str],
    scan: dsl.Input[dsl.Artifact],
    training: dsl.Input[dsl.Artifact],
    base_evaluation: dsl.Input[dsl.Artifact],
    sibling_evaluation: dsl.Input[dsl.Artifact],
    tuned_evaluation: dsl.Input[dsl.Artifact],
    merged_evaluation: dsl.Input[dsl.Artifact],
    quantized_evaluation: dsl.Input[dsl.Artifact],
    decision: dsl.Input[dsl.Artifact],
    registration: dsl.Input[dsl.Artifact],
    report: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    title: str = ReportConfig.title,
) -> dsl.ContainerSpec:
    """Write what a run did as one self-contained HTML page, and every number of it as data."""
    return storm(
        "report",
        CORE,
        selection=selection.path,
        verdicts=verdicts,
        scan=scan.path,
        training=training.path,
        base_evaluation=base_evaluation.path,
        sibling_evaluation=sibling_evaluation.path,
        tuned_evaluation=tuned_evaluation.path,
        merged_evaluation=merged_evaluation.path,
        quantized_evaluation=quantized_evaluation.path,
        decision=decision.path,
        registration=registration.path,
        title=title,
        report=report.path,
    )
