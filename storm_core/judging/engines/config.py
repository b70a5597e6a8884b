"""The options of whoever asks a judge."""

from dataclasses import dataclass

from storm_core.chat_templates.date import date_option
from storm_core.config import StageConfig, option


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
    template_date: str = date_option()
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
        "with engine openai: how long to wait for one answer before asking again",
        120.0,
        unit="seconds",
        minimum=0.1,
        maximum=86400.0,
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
