"""The stage `register`: its options, inputs and outputs."""

from dataclasses import dataclass

from storm_core.config import StageConfig, option
from storm_core.errors import InputError
from storm_core.stage import Input, Output, Stage


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
    run="storm_core.registry.stage:run",
    # The registry is outside: what an earlier run found there need not hold today.
    reusable=False,
)
