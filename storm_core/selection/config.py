"""The stage `select`: its options, inputs and outputs."""

from dataclasses import dataclass

from storm_core.config import StageConfig, option
from storm_core.stage import Input, Output, Stage


@dataclass(frozen=True, kw_only=True)
class SelectConfig(StageConfig):
    """Options of `storm select`."""

    min_educational_value: float = option(
        "keep examples whose educational value is at least this, by the values of the rubric's labels", 3.0
    )
    educational_value_by: str = option(
        "compare the most probable label, or the expected value over all labels, with min_educational_value",
        "label",
        choices=("label", "expected_value"),
    )
    difficulties: tuple[str, ...] = option(
        "keep examples of these difficulties: labels of the rubric by which they were scored", ("medium", "hard")
    )
    max_per_source: int = option(
        "keep at most this many examples of each source, those of the highest expected educational value; 0 keeps all",
        0,
        unit="examples",
        minimum=0,
    )
    source_caps: tuple[str, ...] = option(
        "sources with a cap of their own in the place of max_per_source, each NAME=EXAMPLES", ()
    )
    # The article holds 15,000 of 975,000 examples back for validation.
    validation_fraction: float = option(
        "share of the kept examples, of each source alike, that goes to validation", 0.0154, minimum=0, maximum=0.5
    )
    seed: int = option("changes which examples go to validation, and the order of the rows", 0)


SELECT = Stage(
    verb="select",
    summary="Keep the examples that are informative and not too easy, and split them into train and validation.",
    config=SelectConfig,
    inputs={
        "examples": Input(kind="examples", help="what prepare wrote"),
        "verdicts": Input(kind="verdicts", help="what score wrote, for every shard of the examples", many=True),
    },
    outputs={"selection": Output(kind="selection", help="train.parquet, validation.parquet and funnel.json")},
    run="storm_core.selection.stage:run",
)
