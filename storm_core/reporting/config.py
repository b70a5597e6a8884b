"""Stage `report`: its options, inputs and outputs."""

from dataclasses import dataclass

from storm_core.config import StageConfig, option
from storm_core.stage import Input, Output, Stage


@dataclass(frozen=True, kw_only=True)
class ReportConfig(StageConfig):
    """How the report presents itself."""

    title: str = option("title of the page", "Storm recipe: report of a run")


REPORT = Stage(
    verb="report",
    summary="Write what a run did as one self-contained HTML page, and every number of it as data.",
    config=ReportConfig,
    inputs={
        "selection": Input(kind="selection", help="the selected examples and their funnel"),
        "verdicts": Input(kind="verdicts", help="the judge's verdicts of every shard", many=True),
        "scan": Input(kind="scan", help="the scan that chose what to train"),
        "training": Input(kind="training", help="losses and the proof of freezing"),
        "base_evaluation": Input(kind="evaluation", help="evaluation of the base model"),
        "sibling_evaluation": Input(kind="evaluation", help="evaluation of the other parent of the merge"),
        "tuned_evaluation": Input(kind="evaluation", help="evaluation of the fine-tuned model"),
        "merged_evaluation": Input(kind="evaluation", help="evaluation of the merged model"),
        "quantized_evaluation": Input(kind="evaluation", help="evaluation of the quantized merged model"),
        "decision": Input(kind="decision", help="the gate's decision"),
        "registration": Input(kind="registration", help="the registered versions"),
    },
    outputs={"report": Output(kind="report", help="report.html and results.json")},
    run="storm_core.reporting.stage:run",
)
