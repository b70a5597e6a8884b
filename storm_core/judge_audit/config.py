"""The stage `audit`: its options, inputs and outputs."""

from dataclasses import dataclass

from storm_core.config import option
from storm_core.judging.config import RUBRICS
from storm_core.judging.engines.config import JudgeConfig
from storm_core.stage import Input, Output, Stage


@dataclass(frozen=True, kw_only=True)
class AuditConfig(JudgeConfig):
    """Options of `storm audit`. Those that `score` has too should be what they were there."""

    min_educational_value: float = option(
        "the educational value from which an example counts as kept, by label and by expected value", 3.0
    )
    probe_examples: int = option(
        "how many examples the judge is asked about again, for each question, each source in proportion; with 0 the "
        "model is not run, and the report holds what the verdicts show by themselves",
        200,
        unit="examples",
        minimum=0,
    )
    examples_per_label: int = option(
        "how many examples to show of each label of each question", 20, unit="examples", minimum=0, maximum=1000
    )
    shown_characters: int = option(
        "most text shown of an example; of a longer one the start and the end", 2000, unit="characters", minimum=100
    )
    seed: int = option("changes which examples are asked about again, and which are shown", 0)

    @property
    def salt(self) -> str:
        """What samples for the audit are drawn with."""
        return f"audit/{self.seed}/"


AUDIT = Stage(
    verb="audit",
    summary="Report whether the judge can be trusted: its answers, and how it answers when asked otherwise.",
    config=AuditConfig,
    inputs={
        "model": Input(kind="model", help="the judge that gave the verdicts"),
        "examples": Input(kind="examples", help="what prepare wrote"),
        "verdicts": Input(kind="verdicts", help="what score wrote, for every shard of the examples", many=True),
        "rubrics": RUBRICS,
    },
    outputs={"audit": Output(kind="audit", help="judge.html and judge.json")},
    run="storm_core.judge_audit.stage:run",
)
