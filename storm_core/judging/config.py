"""The stage `score`: its options, inputs and outputs."""

from dataclasses import dataclass

from storm_core.config import option
from storm_core.judging.engines.config import JudgeConfig
from storm_core.stage import Input, Output, Stage, Value


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(JudgeConfig):
    """Options of `storm score`."""

    shard: int = option("which shard of the examples to score: 0 reads shard-00000.parquet", 0, minimum=0)
    min_educational_value: float = option(
        "ask for the difficulty of examples whose educational value label counts at least this, by the rubric's "
        "values; its lowest value (1) asks for all, which leaves every later threshold open",
        3.0,
    )
    keep_seconds: float = option(
        "time at most until a finished verdict is kept for a run that continues after a kill, which asks again for "
        "what was not; it is kept sooner where that costs at most 2% of the time",
        300.0,
        unit="seconds",
        minimum=0,
    )


RUBRICS = Input(
    kind="rubrics",
    help="a directory with your own educational_value.yaml, difficulty.yaml or framing.yaml, or of the first two the "
    "rewordings, in the form of those in storm_core/judging/wording/rubrics",
    optional=True,
    external=True,
)


SCORE = Stage(
    verb="score",
    summary="Ask the judge for the educational value and the difficulty of each example of one shard.",
    config=ScoreConfig,
    inputs={
        "model": Input(kind="model", help="the judge: an instruct model with a chat template"),
        "examples": Input(kind="examples", help="what prepare wrote"),
        "rubrics": RUBRICS,
    },
    outputs={
        "verdicts": Output(kind="verdicts", help="one row for each example and rubric, and how the judge was asked")
    },
    run="storm_core.judging.stage:run",
    values={
        "verdicts_reference": Value(
            type=str, help="the reference of the verdicts, for a later stage that gathers several"
        )
    },
    resumable=True,
)
