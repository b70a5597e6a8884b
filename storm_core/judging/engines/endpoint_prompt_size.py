"""Whether a server read a text whole: its own count of tokens beside that of the judge's tokenizer here.

Ollama, for one, cuts a prompt that is longer than its window (`num_ctx`), and answers as if it were whole; all that it
says is `usage.prompt_tokens`. How it counts is learned from two prompts, an empty one and one with a specimen. Where it
counts the specimen as the tokenizer here does, little may be missing of any text; else it has another tokenizer, and
half may, as tokenizers differ.
"""

from dataclasses import dataclass

from storm_core.judging.engines.endpoint_responses import RefusedError
from storm_core.records import Message

# Words, code, numbers and other scripts: few tokenizers that differ count all of it alike.
SPECIMEN = Message(
    role="user",
    content="The quick fox, unbelievably, antidisestablishmentarianism. def f(x):\n    return {'k': x ** 2}\n"
    "1234567890 3.14159 Straße naïveté Привет, мир 你好世界 こんにちは 안녕하세요 مرحبا שלום \U0001f98a\U0001f980 ≤≥∑ "
    "https://example.org/a?b=c&d=%20 ABCxyz_snake_case kebab-case",
)
_SAME_TOKENS = 2
# Breaking up what looks like a control token adds a few; a cut character too.
_SLACK_TOKENS = 16
_LEAST_SHARE_SAME = 0.9
_LEAST_SHARE_OTHER = 0.5


@dataclass(frozen=True, kw_only=True)
class Size:
    """Tokens of one prompt.

    Attributes:
        counted: by the judge's tokenizer here.
        read: as the server says.
    """

    counted: int
    read: int


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """How a server counts.

    Attributes:
        empty: of the prompt about no example.
        specimen: of that about the specimen.
    """

    empty: Size
    specimen: Size

    def least(self, counted: int) -> float:
        """The least that the server must have read of a prompt with so many tokens."""
        more = self.specimen.read - self.empty.read
        is_same = abs(more - (self.specimen.counted - self.empty.counted)) <= _SAME_TOKENS
        if is_same:
            return self.empty.read + _LEAST_SHARE_SAME * (counted - self.empty.counted) - _SLACK_TOKENS
        density = min(1.0, self.empty.read / self.empty.counted)
        return self.empty.read + _LEAST_SHARE_OTHER * density * (counted - self.empty.counted) - _SLACK_TOKENS

    def check(self, counted: int, read: int | None) -> None:
        """Refuse an answer about a prompt that was cut.

        Raises:
            RefusedError: says how much the server read.
        """
        if read is not None and read < self.least(counted):
            raise RefusedError(
                f"it read {read} tokens of a prompt of about {counted}: it cut the prompt; raise the server's context "
                "(num_ctx or OLLAMA_CONTEXT_LENGTH of Ollama), or lower max_length"
            )
