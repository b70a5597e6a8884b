"""The stage `register`: its options, inputs and outputs."""

from dataclasses import dataclass

from storm_core.config import StageConfig, option
from storm_core.errors import InputError
from storm_core.stage import Input, Output, Stage

_MOST_CHARACTERS = 256
REGISTERED_MODEL_NAMES = f"a name of at most {_MOST_CHARACTERS} characters without / : or quotes, no dot or space first"


@dataclass(frozen=True, kw_only=True)
class RegisterConfig(StageConfig):
    """Where the models go in the registry."""

    registered_model_name: str = option("name of the registered model in MLflow, which has the aliases", "storm")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_registered_model_name("registered_model_name", self.registered_model_name)


def check_registered_model_name(field: str, name: str) -> None:
    """Refuse what MLflow would, before hours of work, and what a search for the name could not quote.

    Raises:
        InputError: it names the `field`.
    """
    if not is_registered_model_name(name):
        raise InputError(f"{field} must be {REGISTERED_MODEL_NAMES}, got {name!r}")


def is_registered_model_name(name: str) -> bool:
    """Whether models can be registered by this name."""
    # MLflow refuses / and : and what no path has, such as `..`; its databases have room for 256 characters.
    plain = name.isprintable() and not set(name) & set("/:'`\"")
    return plain and 0 < len(name) <= _MOST_CHARACTERS and name[0] not in ". "


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
