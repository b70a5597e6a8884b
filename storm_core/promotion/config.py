"""The stage `gate`: its options, inputs and outputs."""

from dataclasses import dataclass

from storm_core.config import StageConfig, option
from storm_core.stage import Input, Output, Stage


@dataclass(frozen=True, kw_only=True)
class GateConfig(StageConfig):
    """The numbers that the rules in `rules.yaml` leave open."""

    standard_errors: float = option(
        "how far a difference may lie below zero and still pass as noise",
        # At 1.0 a benchmark fails by chance one time in six, and there are ten of them; at 2.0 one time in forty-four.
        2.0,
        unit="standard errors of the difference",
        minimum=0,
    )
    quantized_tolerance: float = option(
        "how much of its mean score the merged model may lose by quantization, beyond noise",
        0.02,
        unit="score from 0 to 1",
        minimum=0,
        maximum=1,
    )


GATE = Stage(
    verb="gate",
    summary="Decide by written rules whether the merged and quantized models may be promoted.",
    config=GateConfig,
    inputs={
        "base_evaluation": Input(kind="evaluation", help="evaluation of the base model"),
        "sibling_evaluation": Input(kind="evaluation", help="evaluation of the other parent of the merge"),
        "tuned_evaluation": Input(kind="evaluation", help="evaluation of the fine-tuned model"),
        "merged_evaluation": Input(kind="evaluation", help="evaluation of the merged model"),
        "quantized_evaluation": Input(kind="evaluation", help="evaluation of the quantized merged model"),
    },
    outputs={"decision": Output(kind="decision", help="decision.json: passed or not, each rule with its reason")},
    run="storm_core.promotion.stage:run",
)
