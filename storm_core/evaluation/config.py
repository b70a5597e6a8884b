"""Options of `evaluate` and the declaration of the stage."""

from dataclasses import dataclass

from storm_core.chat_templates.date import date_option
from storm_core.config import StageConfig, option
from storm_core.stage import Input, Output, Stage


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(StageConfig):
    """What to measure. Sample sizes, batch sizes and seeds belong to the suite: equal suites give comparable scores."""

    suite: str = option("suite of benchmarks: smoke, article, or the path of a YAML file inside the data", "smoke")
    dtype: str = option(
        "precision to compute in; auto: the suite's; if that is auto too, bfloat16 where the hardware multiplies it",
        "auto",
        choices=("auto", "bfloat16", "float32"),
    )
    template_date: str = date_option()


EVALUATE = Stage(
    verb="evaluate",
    summary="Measure a model on a suite of benchmarks: function calling by BFCL's rules, and lm-eval tasks.",
    config=EvaluateConfig,
    inputs={
        "model": Input(kind="model", help="the model to measure, with a chat template"),
        "data": Input(kind="data", help="directory that the paths in the suite are relative to", external=True),
    },
    outputs={"evaluation": Output(kind="evaluation", help="scores with standard errors, and every prompt and reply")},
    run="storm_core.evaluation.stage:run",
    resumable=True,
)
