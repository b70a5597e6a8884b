"""The `merge` stage: its options, inputs and outputs."""

from dataclasses import dataclass

from storm_core.config import StageConfig, option
from storm_core.stage import Input, Output, Stage


@dataclass(frozen=True, kw_only=True)
class MergeConfig(StageConfig):
    """Options of `merge`."""

    t: float = option(
        "where on the arc from base_model (0) to other_model (1) the merged model lies, the same for every tensor",
        0.5,
        minimum=0.0,
        maximum=1.0,
    )


MERGE = Stage(
    verb="merge",
    summary="Merge two models of the same shapes by SLERP, tensor by tensor.",
    config=MergeConfig,
    inputs={
        "base_model": Input(kind="model", help="model at t = 0; gives tokenizer, chat template and dtypes"),
        "other_model": Input(kind="model", help="model at t = 1"),
    },
    outputs={"merged_model": Output(kind="model", help="the merged model")},
    run="storm_core.merging.stage:run",
)
