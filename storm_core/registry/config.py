"""Stages `gate` and `register`: their options, inputs and outputs."""

from dataclasses import dataclass

from storm_core.config import StageConfig, option
from storm_core.errors import InputError
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


@dataclass(frozen=True, kw_only=True)
class RegisterConfig(StageConfig):
    """Where the models go in the registry."""

    registered_model_name: str = option("name of the registered model in MLflow", "storm")

    def __post_init__(self) -> None:
        super().__post_init__()
        name = self.registered_model_name
        # MLflow refuses / and : in the name of a model, and a search for it cannot quote the quotes.
        if not name.strip() or any(character in name for character in "/:'`\""):
            raise InputError(f"registered_model_name must be a name without / : or quotes, got {name!r}")


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
    run="storm_core.registry.gate_stage:run",
)

REGISTER = Stage(
    verb="register",
    summary="Register the merged and quantized models in MLflow, by digest, and set their aliases.",
    config=RegisterConfig,
    inputs={
        "merged_model": Input(kind="model", help="the merged model"),
        "quantized_model": Input(kind="model", help="the quantized merged model"),
        "merged_evaluation": Input(kind="evaluation", help="evaluation of the merged model"),
        "quantized_evaluation": Input(kind="evaluation", help="evaluation of the quantized model"),
        "decision": Input(kind="decision", help="the gate's decision about these evaluations"),
    },
    outputs={"registration": Output(kind="registration", help="registration.json: the versions and their aliases")},
    run="storm_core.registry.register_stage:run",
    # The registry is outside: what an earlier run found there need not hold today.
    reusable=False,
)
