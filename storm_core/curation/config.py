"""Options and declarations of the curation stages: `score`, `select` and `audit`."""

from dataclasses import dataclass

from storm_core.config import StageConfig, option
from storm_core.stage import Input, Output, Stage, Value


@dataclass(frozen=True, kw_only=True)
class JudgeConfig(StageConfig):
    """How the judge is asked: the options that `score` and `audit` share."""

    engine: str = option(
        "what computes the answers: transformers (any machine), vllm (GPU, or its CPU build), or openai (an HTTP "
        "endpoint that serves the judge; of the model only the tokenizer is read then)",
        "transformers",
        choices=("transformers", "vllm", "openai"),
    )
    batch_size: int = option(
        "most examples given to the engine at once: in one forward pass with transformers; some hundreds keep a GPU "
        "busy with vllm; openai gets eight times endpoint_concurrency where that is more",
        16,
        unit="examples",
        minimum=1,
    )
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
    endpoint: str = option("with engine openai: base URL of the endpoint", "http://localhost:8000/v1")
    endpoint_model: str = option("with engine openai: the name under which the endpoint serves the judge", "judge")
    endpoint_prompts: str = option(
        "with engine openai: send token ids to /completions, the same that the other engines read; or, where the "
        "server takes no ids, text to /chat/completions, with control tokens in the examples broken up",
        "tokens",
        choices=("tokens", "text"),
    )
    endpoint_concurrency: int = option(
        "with engine openai: most requests under way at once", 16, unit="requests", minimum=1, maximum=1024
    )
    endpoint_requests_per_minute: int = option(
        "with engine openai: most requests begun in a minute", 60_000, unit="requests a minute", minimum=1
    )
    endpoint_timeout_seconds: float = option(
        "with engine openai: how long to wait for one answer before asking again", 120.0, unit="seconds", minimum=0.1
    )
    endpoint_retries: int = option(
        "with engine openai: how often a request that failed in a way that may pass is sent again", 8, minimum=0
    )

    @property
    def examples_at_once(self) -> int:
        """How many examples the engine gets at most before the next ones.

        Of an endpoint all wait for the slowest answer then, so it gets enough for that to be rare.
        """
        return self.batch_size if self.engine != "openai" else max(self.batch_size, 8 * self.endpoint_concurrency)


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
        "how often finished verdicts are kept for a run that goes on after a kill; what is younger is asked again",
        30.0,
        unit="seconds",
        minimum=0,
    )


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


_RUBRICS = Input(
    kind="rubrics",
    help="a directory with your own educational_value.yaml, difficulty.yaml or framing.yaml, or of the first two the "
    "rewordings, in the form of those in storm_core/curation/rubrics",
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
        "rubrics": _RUBRICS,
    },
    outputs={
        "verdicts": Output(kind="verdicts", help="one row for each example and rubric, and how the judge was asked")
    },
    run="storm_core.curation.score_stage:run",
    values={
        "verdicts_reference": Value(
            type=str, help="the reference of the verdicts, for a later stage that gathers several"
        )
    },
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

AUDIT = Stage(
    verb="audit",
    summary="Report whether the judge can be trusted: its answers, and how it answers when asked otherwise.",
    config=AuditConfig,
    inputs={
        "model": Input(kind="model", help="the judge that gave the verdicts"),
        "examples": Input(kind="examples", help="what prepare wrote"),
        "verdicts": Input(kind="verdicts", help="what score wrote, for every shard of the examples", many=True),
        "rubrics": _RUBRICS,
    },
    outputs={"audit": Output(kind="audit", help="judge.html and judge.json")},
    run="storm_core.curation.audit.stage:run",
)
