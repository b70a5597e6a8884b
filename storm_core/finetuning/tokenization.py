"""Examples as token IDs, with labels on what the assistant wrote and nowhere else."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from storm_core.chat_templates.answer_tokens import AnswerTokens
from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.chat_templates.date import DEFAULT_DATE
from storm_core.chat_templates.rendering import CHAT_TEMPLATE, LEFT_OUT, UNSTABLE_PREFIX, MisfitError
from storm_core.records import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Labels of this value take no part in the loss; PyTorch's own default for it.
IGNORED = -100

TOO_LONG = "too_long"
CONTROL_TOKENS = "control_tokens"
# Why an example is left out, by the name that it is counted under.
REASONS = {
    TOO_LONG: "they are longer than max_length",
    CONTROL_TOKENS: "a turn spells a control token",
    CHAT_TEMPLATE: "the chat template cannot show them",
    LEFT_OUT: "the chat template leaves out the text of a turn",
    UNSTABLE_PREFIX: "the chat template hides where an answer begins",
}


class UnusableExampleError(Exception):
    """This example cannot be trained on; the message is the reason it is counted under, `words` what else is known."""

    def __init__(self, reason: str, words: str = "") -> None:
        super().__init__(reason)
        self.words = words


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
    """What became of the examples of one file: those to train on, and how many were left out for which reason.

    `words` is what the first of them says by reason; it is known only where they were tokenised.
    """

    kept: list[TokenizedExample] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    words: dict[str, str] = field(default_factory=dict, compare=False)


class ExampleTokenizer:
    """Makes token ids and labels of examples, for one tokenizer and date."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", date: str = DEFAULT_DATE) -> None:
        self._template = ChatTemplate(tokenizer, date)
        self._tokens = AnswerTokens(tokenizer, self._template)

    def tokenize(self, example: Example) -> TokenizedExample:
        """Token IDs of the chat template's text, with labels on each answer and on the token that ends it.

        An answer begins where the template's text up to it, with the generation prompt, ends: just where the model
        takes over when it is used. It ends with the token that the template writes behind answers. Text after that (a
        line break, say) is never the model's to write, and has no label.

        Raises:
            UnusableExampleError: a message spells a control token; the template refuses the messages or leaves out the
                text of one; what comes before an answer is rendered otherwise when the answer follows; or the template
                ends an answer with no token.
        """
        # Text that the tokenizer would read as a turn's end or start.
        if any(spelling in message.content for message in example.messages for spelling in self._tokens.control):
            raise UnusableExampleError(CONTROL_TOKENS)
        try:
            input_ids, answers = self._tokens.tokenize(self._template.conversation(example.messages))
        except MisfitError as error:
            raise UnusableExampleError(error.reason, str(error)) from error
        labels = [IGNORED] * len(input_ids)
        for answer in answers:
            labels[answer.start : answer.stop] = input_ids[answer.start : answer.stop]
        return TokenizedExample(input_ids=input_ids, labels=labels, id=example.id)


def tokenize_examples(
    examples: Iterable[Example], tokenizer: "PreTrainedTokenizerBase", max_length: int, date: str = DEFAULT_DATE
) -> TokenizedExamples:
    """Tokenise every example, counting those that cannot be used by reason.

    Examples over `max_length` are left out whole: cut off, they would teach answers without an end.
    """
    tokenized = TokenizedExamples()
    made = ExampleTokenizer(tokenizer, date)
    for example in examples:
        try:
            one = made.tokenize(example)
            if len(one.input_ids) > max_length:
                raise UnusableExampleError(TOO_LONG)
            tokenized.kept.append(one)
        except UnusableExampleError as error:
            tokenized.dropped[str(error)] += 1
            tokenized.words.setdefault(str(error), error.words)
    return tokenized


def describe_dropped(examples: TokenizedExamples) -> str:
    """How many examples are left out, and why, in words."""
    if not examples.dropped:
        return "it is empty" if not examples.kept else "no example is left out"
    counts = sorted(examples.dropped.items(), key=lambda item: (-item[1], item[0]))
    said = {reason: f" ({words})" for reason, words in examples.words.items() if words}
    reasons = ", ".join(f"{count} because {REASONS[reason]}{said.get(reason, '')}" for reason, count in counts)
    return f"{examples.dropped.total()} of {len(examples.kept) + examples.dropped.total()} are left out: {reasons}"


def tokenize(example: Example, tokenizer: "PreTrainedTokenizerBase") -> TokenizedExample:
    """One example by itself; see `ExampleTokenizer`, which reads the chat template once for many."""
    return ExampleTokenizer(tokenizer).tokenize(example)


def lengths(examples: Iterable[TokenizedExample]) -> list[int]:
    """How many tokens each example has."""
    return [len(example.input_ids) for example in examples]


def padding_token(tokenizer: "PreTrainedTokenizerBase") -> int:
    """A token to fill rows with; none of what is computed at its places is used."""
    return next((token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id) if token is not None), 0)
