"""Examples as token IDs, with labels on what the assistant wrote and nowhere else."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jinja2 import TemplateError

from storm_core.records import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Labels of this value take no part in the loss; PyTorch's own default for it.
IGNORED = -100

TOO_LONG = "too_long"
CONTROL_TOKENS = "control_tokens"
CHAT_TEMPLATE = "chat_template"
UNSTABLE_PREFIX = "unstable_prefix"


class UnusableExampleError(Exception):
    """This example cannot be trained on; the message is the reason it is counted under."""


@dataclass(frozen=True, kw_only=True)
class TokenizedExample:
    """One conversation as the model sees it; `labels` equals `input_ids` where it learns, `IGNORED` elsewhere.

    `id` is that of the example.
    """

    input_ids: list[int]
    labels: list[int]
    id: str = ""


@dataclass(frozen=True, kw_only=True)
class TokenizedExamples:
    """What became of the examples of one file: those to train on, and how many were left out for which reason."""

    kept: list[TokenizedExample] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def tokenize_examples(
    examples: Iterable[Example], tokenizer: "PreTrainedTokenizerBase", max_length: int
) -> TokenizedExamples:
    """Tokenise every example, counting those that cannot be used by reason.

    Examples over `max_length` are left out whole: cut off, they would teach answers without an end.
    """
    tokenized = TokenizedExamples()
    for example in examples:
        try:
            one = tokenize(example, tokenizer)
            if len(one.input_ids) > max_length:
                raise UnusableExampleError(TOO_LONG)
            tokenized.kept.append(one)
        except UnusableExampleError as error:
            tokenized.dropped[str(error)] += 1
    return tokenized


def tokenize(example: Example, tokenizer: "PreTrainedTokenizerBase") -> TokenizedExample:
    """Token IDs of the chat template's text, with labels on each answer and on the token that ends it.

    An answer begins where the template's text up to it, with the generation prompt, ends: just where the model takes
    over when it is used. It ends with the next control token. Text between (the template's line break after an answer,
    say) is never the model's to write, and has no label.

    Raises:
        UnusableExampleError: a message spells a control token; the template refuses the messages; what comes before an
            answer is rendered otherwise when the answer follows; or the template ends an answer with no control token.
    """
    spellings = control_tokens(tokenizer)
    # Text that the tokenizer would read as a turn's end or start.
    if any(spelling in message.content for message in example.messages for spelling in spellings):
        raise UnusableExampleError(CONTROL_TOKENS)
    messages = [{"role": message.role, "content": message.content} for message in example.messages]
    input_ids = _render(messages, tokenizer, prompt=False)
    labels = [IGNORED] * len(input_ids)
    control = set(spellings.values())
    for position, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt_ids = _render(messages[:position], tokenizer, prompt=True)
        start = len(prompt_ids)
        if input_ids[:start] != prompt_ids:
            raise UnusableExampleError(UNSTABLE_PREFIX)
        end = next((place for place in range(start, len(input_ids)) if input_ids[place] in control), None)
        if end is None:
            raise UnusableExampleError(CHAT_TEMPLATE)
        labels[start : end + 1] = input_ids[start : end + 1]
    return TokenizedExample(input_ids=input_ids, labels=labels, id=example.id)


def lengths(examples: Iterable[TokenizedExample]) -> list[int]:
    """How many tokens each example has."""
    return [len(example.input_ids) for example in examples]


def padding_token(tokenizer: "PreTrainedTokenizerBase") -> int:
    """A token to fill rows with; none of what is computed at its places is used."""
    return next((token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id) if token is not None), 0)


def control_tokens(tokenizer: "PreTrainedTokenizerBase") -> dict[str, int]:
    """Spelling and ID of every token that stands for no text of its own."""
    return {token.content: number for number, token in tokenizer.added_tokens_decoder.items() if token.special}


def _render(messages: list[dict[str, str]], tokenizer: "PreTrainedTokenizerBase", *, prompt: bool) -> list[int]:
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
    except TemplateError as error:
        raise UnusableExampleError(CHAT_TEMPLATE) from error
    input_ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return input_ids
