"""Examples as token IDs, with labels on what the assistant wrote and nowhere else."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from storm_core.chat_templates.answer_tokens import AnswerTokens
from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.chat_templates.rendering import CHAT_TEMPLATE, LEFT_OUT, UNSTABLE_PREFIX, MisfitError
from storm_core.records import Example

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
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


# Arrays are compared element by element, so examples are not compared at all.
@dataclass(frozen=True, kw_only=True, eq=False)
class TokenizedExample:
    """One conversation as the model sees it; `labels` equals `input_ids` where it learns, `IGNORED` elsewhere.

    `id` is that of the example.
    """

    input_ids: "list[int] | NDArray[np.int32]"
    labels: "list[int] | NDArray[np.int32]"
    id: str = ""


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """The examples that were left out: how many for which reason, and what the first of them says by reason."""

    counts: Counter[str] = field(default_factory=Counter)
    words: dict[str, str] = field(default_factory=dict)

    def count(self, error: MisfitError) -> None:
        """One more is left out."""
        self.counts[error.reason] += 1
        self.words.setdefault(error.reason, str(error))


class ExampleTokenizer:
    """Makes token ids and labels of examples, by one chat template and its tokens."""

    def __init__(self, template: ChatTemplate, tokens: AnswerTokens) -> None:
        self._template = template
        self._tokens = tokens

    def tokenize(self, example: Example) -> TokenizedExample:
        """Token IDs of the chat template's text, with labels on each answer and on the token that ends it.

        An answer begins where the template's text up to it, with the generation prompt, ends: just where the model
        takes over when it is used. It ends with the token that the template writes behind answers. Text after that (a
        line break, say) is never the model's to write, and has no label.

        Raises:
            MisfitError: a message spells a control token; the template refuses the messages or leaves out the
                text of one; what comes before an answer is rendered otherwise when the answer follows; or the template
                ends an answer with no token.
        """
        # Text that the tokenizer would read as a turn's end or start.
        if any(spelling in message.content for message in example.messages for spelling in self._tokens.control):
            raise MisfitError(CONTROL_TOKENS)
        input_ids, answers = self._tokens.tokenize(self._template.conversation(example.messages))
        labels = [IGNORED] * len(input_ids)
        for answer in answers:
            labels[answer.start : answer.stop] = input_ids[answer.start : answer.stop]
        return TokenizedExample(input_ids=input_ids, labels=labels, id=example.id)


def tokenize_examples(
    examples: Iterable[Example], tokenizer: ExampleTokenizer, max_length: int, dropped: Dropped
) -> Iterator[TokenizedExample]:
    """Every example that can be used, tokenised, one after the other; `dropped` counts the others by reason.

    Examples over `max_length` are left out whole: cut off, they would teach answers without an end.
    """
    for example in examples:
        try:
            one = tokenizer.tokenize(example)
            if len(one.input_ids) > max_length:
                raise MisfitError(TOO_LONG)
        except MisfitError as error:
            dropped.count(error)
        else:
            yield one


def describe_dropped(dropped: Dropped, kept: int) -> str:
    """How many examples are left out, and why, in words; `kept` are not."""
    if not dropped.counts:
        return "no example is left out" if kept else "it is empty"
    counts = sorted(dropped.counts.items(), key=lambda item: (-item[1], item[0]))
    said = {reason: f" ({words})" for reason, words in dropped.words.items() if words}
    reasons = ", ".join(f"{count} because {REASONS[reason]}{said.get(reason, '')}" for reason, count in counts)
    return f"{dropped.counts.total()} of {kept + dropped.counts.total()} are left out: {reasons}"


def tokenize(example: Example, tokenizer: "PreTrainedTokenizerBase") -> TokenizedExample:
    """One example by itself; see `ExampleTokenizer`, which reads the chat template once for many."""
    template = ChatTemplate(tokenizer)
    return ExampleTokenizer(template, AnswerTokens(tokenizer, template)).tokenize(example)


def padding_token(tokenizer: "PreTrainedTokenizerBase") -> int:
    """A token to fill rows with; none of what is computed at its places is used."""
    return next((token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id) if token is not None), 0)
