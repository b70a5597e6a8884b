"""Options and declarations of the curation stages: `score` and `select`."""

from dataclasses import dataclass

from storm_core.config import StageConfig, option
from storm_core.stage import Input, Output, Stage


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(StageConfig):
    """Options of `storm score`."""

    shard: int = option("which shard of the examples to score: 0 reads shard-00000.parquet", 0, minimum=0)
    batch_size: int = option("most examples in one forward pass", 16, unit="examples", minimum=1)
    max_length: int = option(
        "longest text of an example that the judge reads; of a longer one it reads the start and the end",
        1024,
        unit="tokens",
        minimum=32,
    )
    dtype: str = option(
        "precision of the forward passes; auto is bfloat16 where the hardware multiplies it, else float32",
        "auto",
        choices=("auto", "bfloat16", "float32"),
    )
    min_educational_value: float = option(
        "ask for the difficulty of examples whose educational value label is at least this; 1 asks for all, which "
        "leaves every later threshold open",
        3.0,
        minimum=1,
        maximum=5,
    )


@dataclass(frozen=True, kw_only=True)
class SelectConfig(StageConfig):
    """Options of `storm select`."""

    min_educational_value: float = option(
        "keep examples whose educational value is at least this", 3.0, minimum=1, maximum=5
    )
    educational_value_by: str = option(
        "compare the most probable label, or the expected value over all labels, with min_educational_value",
        "label",
        choices=("label", "expected_value"),
    )
    difficulties: tuple[str, ...] = option(
        "keep examples of these difficulties", ("medium", "hard"), choices=("easy", "medium", "hard")
    )
    # The article holds 15,000 of 975,000 examples back for validation.
    validation_fraction: float = option(
        "share of the kept examples, of each source alike, that goes to validation", 0.0154, minimum=0, maximum=0.5
    )
    seed: int = option("changes which examples go to validation, and the order of the rows", 0)


SCORE = Stage(
    verb="score",
    summary="Ask the judge for the educational value and the difficulty of each example of one shard.",
    config=ScoreConfig,
    inputs={
        "model": Input(kind="model", help="the judge: an instruct model with a chat template"),
        "examples": Input(kind="examples", help="what prepare wrote"),
    },
    outputs={"verdicts": Output(kind="verdicts", help="one row for each example and rubric: verdicts.parquet")},
    run="storm_core.curation.score_stage:run",
    values={"verdicts_reference": "the reference of the verdicts, for a later stage that gathers several"},
    resumable=True,
)

SELECT = Stage(
    verb="select",
    summary="Keep the examples that are informative and not too easy, and split them into train and validation.",
    config=SelectConfig,
    inputs={
        "examples": Input(kind="examples", help="what prepare wrote"),
        "verdicts": Input(kind="verdicts", help="what score wrote, for every shard of the examples", many=True),
    },
    outputs={"selection": Output(kind="selection", help="train.parquet, validation.parquet and funnel.json")},
    run="storm_core.curation.select_stage:run",
)
