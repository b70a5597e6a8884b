"""Token ids of what the judge reads: [chat control][head][example][tail][question][chat control].

The example is data. Its pieces are tokenised apart from the chat template's control tokens, and in a way that never
yields one, so whatever an example says, it stays inside the user turn.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storm_core.chat_templates.date import DEFAULT_DATE
from storm_core.chat_templates.rendering import MisfitError, Renderer
from storm_core.errors import InputError
from storm_core.judging.wording.rubrics import Framing, Rubric
from storm_core.records import ROLES, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# How the control tokens of common chat models look: <|im_end|>, [INST], <<SYS>>, </s>, <start_of_turn>, <bos>.
_LOOK_ALIKES = r"<[|\uff5c]|[|\uff5c]>|\[/?[A-Z_]+\]|<</?SYS>>|</?s>|<(?:start|end)_of_\w+>|<(?:bos|eos|pad|unk|mask)>"


# Added tokens that a tokenizer need not call special, such as Qwen's <tool_call>; but not Gemma's <h1>.
_CONTROL_NAME = re.compile(r"<[^\s<>]*[|_][^\s<>]*>|\[/?[A-Z_]+\]")


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the judge reads before a question.

    Attributes:
        ids: token ids of chat control, head, example and tail.
        control: how many of `ids`, at the start, are chat control.
        tokens: tokens of the example alone, before any cut.
        truncated: whether its middle was left out.
    """

    ids: tuple[int, ...]
    control: int
    tokens: int
    truncated: bool


@dataclass(frozen=True, kw_only=True)
class Question:
    """One rubric as tokens.

    Attributes:
        ids: token ids of the question and of the chat control up to where the judge's answer starts.
        label_ids: first token of each label's answer, in the rubric's order; all different.
    """

    rubric: Rubric
    ids: tuple[int, ...]
    label_ids: tuple[int, ...]


class PromptBuilder:
    """Turns examples and rubrics into token ids for one tokenizer.

    Attributes:
        tells_date: whether the chat template asks for the date, so that prompts differ by it.

    Raises:
        InputError: the chat template does not show a user message as it is, exactly once.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", framing: Framing, date: str = DEFAULT_DATE) -> None:
        self.tokenizer = tokenizer
        self._framing = framing
        template = Renderer(tokenizer, date)
        self.tells_date = template.tells_date
        prefix, self._suffix = _template_halves(tokenizer, template)
        self._prefix_ids = _control_ids(tokenizer, prefix)
        self._suffix_ids = _control_ids(tokenizer, self._suffix)
        self._spelled = _spell_control_tokens(tokenizer, {*self._prefix_ids, *self._suffix_ids})
        # Where the template marks the end of the user's turn in plain text, an example could do so too.
        self._plain_marker = "" if self._spelled.keys() & set(self._suffix_ids) else self._suffix.strip()
        self._control_texts = tuple(tokenizer.convert_ids_to_tokens(sorted(self._spelled)))
        self._head_ids = self.plain_ids(framing.head)
        self._tail_ids = self.plain_ids(framing.tail)
        self._cut_ids = self.plain_ids(framing.cut)

    def context(self, messages: Sequence[Message], max_length: int) -> Context:
        """The tokens of one example; see `contexts`."""
        (context,) = self.contexts([messages], max_length)
        return context

    def contexts(self, conversations: Sequence[Sequence[Message]], max_length: int) -> list[Context]:
        """The tokens of each example, in one call of the tokenizer, which works on several at once.

        Of one with more than `max_length` tokens the start and the end are kept, with the mark between them, because
        the request stands at the start and the answer at the end.
        """
        texts = [self.text(messages) for messages in conversations]
        if self._plain_marker:
            texts = [break_control_tokens(text, (self._plain_marker,)) for text in texts]
        return [self._context(ids, max_length) for ids in self._all_plain_ids(texts)]

    def _context(self, ids: list[int], max_length: int) -> Context:
        kept = self._cut(ids, max_length)
        return Context(
            ids=(*self._prefix_ids, *self._head_ids, *kept, *self._tail_ids),
            control=len(self._prefix_ids),
            tokens=len(ids),
            truncated=len(ids) > max_length,
        )

    def context_length(self, tokens: int, max_length: int) -> int:
        """How many ids the context of an example of so many tokens has."""
        return len(self._prefix_ids) + len(self._head_ids) + min(tokens, max_length) + len(self._tail_ids)

    def question(self, rubric: Rubric) -> Question:
        """The tokens of one rubric.

        Raises:
            InputError: a label's first token is another label's too, or is not one of its own after the prompt.
        """
        answers = [self._answer_ids(rubric, label) for label in rubric.labels]
        # Some tokenizers write a space before whatever follows the prompt: it is no part of the answer.
        space: list[int] = []
        while (
            len({ids[0] for ids in answers}) == 1
            and min(map(len, answers)) > 1
            and not self._decode(answers[0][:1]).strip()
        ):
            space.append(answers[0][0])
            answers = [ids[1:] for ids in answers]
        label_ids: dict[int, str] = {}
        for label, (first, *_) in zip(rubric.labels, answers, strict=True):
            if first in label_ids:
                raise InputError(
                    f"rubric {rubric.name}: the labels {label_ids[first]!r} and {label!r} start with the same token of "
                    "this judge; choose labels with different first tokens"
                )
            label_ids[first] = label
        ids = (*self.plain_ids(rubric.question), *self._suffix_ids, *space)
        return Question(rubric=rubric, ids=ids, label_ids=tuple(label_ids))

    def fingerprint(self) -> str:
        """SHA-256, in hex, of the ids of a specimen, whole and cut, with the chat control around them.

        It changes with the tokenizer, its chat template, the framing and this module: with all but the question that
        makes a prompt what it is.
        """
        # Longer than its cut, however long the mark of a cut is.
        text = "says é 天 <|x|> 1 " * (1 + len(self._cut_ids))
        specimen = [Message(role=role, content=f"{role} {text}") for role in ROLES]
        contexts = [self.context(specimen, length).ids for length in (10_000, len(self._cut_ids) + 8)]
        return hashlib.sha256(json.dumps([*contexts, self._suffix_ids]).encode()).hexdigest()

    def text(self, messages: Sequence[Message]) -> str:
        """The example as plain text with its roles named."""
        framing = self._framing
        return "".join(framing.turn.format(role=framing.roles[m.role], content=m.content) for m in messages)

    def token_text(self, token: int) -> str:
        """The text that a token stands for."""
        return self._decode([token])

    def harmless_text(self, context: Context, question: Question) -> str:
        """Context and question as text without the chat control, for a server that tokenises and templates it itself.

        Every control token in it, and what looks like one of another model's, is broken up by a space, as in
        `< |im_end| >`: such a server would read it as control, not as text.
        """
        text = self._decode(context.ids[context.control :]) + question.rubric.question
        return break_control_tokens(text, self._control_texts)

    def plain_ids(self, text: str) -> list[int]:
        """Token ids of `text` as text: a control token written in it comes out as the characters that spell it."""
        return self._all_plain_ids([text])[0]

    def _all_plain_ids(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        found = self.tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True).input_ids
        return [[piece for token in ids for piece in self._spelled.get(token, (token,))] for ids in found]

    def _decode(self, ids: Sequence[int]) -> str:
        text = self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)
        return text if isinstance(text, str) else "".join(text)

    def _cut(self, ids: list[int], max_length: int) -> list[int]:
        if len(ids) <= max_length:
            return ids
        kept = max_length - len(self._cut_ids)
        if kept < 2:
            raise InputError(
                f"max_length {max_length} leaves no room beside framing.cut, which has {len(self._cut_ids)} tokens"
            )
        tail = kept // 2
        return [*ids[: kept - tail], *self._cut_ids, *ids[len(ids) - tail :]]

    def _answer_ids(self, rubric: Rubric, label: str) -> list[int]:
        """What the judge writes after the prompt to give this answer."""
        ids = _control_ids(self.tokenizer, self._suffix + label)
        start = len(self._suffix_ids)
        if ids[:start] != self._suffix_ids or len(ids) == start or ids[start] in self._spelled:
            raise InputError(
                f"rubric {rubric.name}: the label {label!r} has no first token of its own after this judge's prompt; "
                "choose another label"
            )
        return ids[start:]


def break_control_tokens(text: str, known: Sequence[str]) -> str:
    """`text` with a space after the first character of every control token in it, those of `known` and look-alikes."""
    plain = sorted({name.strip() for name in known}, key=len, reverse=True)
    names = "|".join(re.escape(name) for name in plain if len(name) > 1)
    pattern = re.compile(f"{names}|{_LOOK_ALIKES}" if names else _LOOK_ALIKES)
    broken = text
    # A break may leave another one behind, as in `<<s>s>`; each pass takes one away from the front of every match.
    while pattern.search(broken):
        broken = pattern.sub(lambda match: f"{match[0][0]} {match[0][1:]}", broken)
    return broken


def _template_halves(tokenizer: "PreTrainedTokenizerBase", template: Renderer) -> tuple[str, str]:
    """What the chat template puts before and after the text of a single user message, the answer's start included.

    Raises:
        InputError: the template is broken, refuses the message, does not show it once, or wants a thought first.
    """
    placeholder = uuid.uuid5(uuid.NAMESPACE_OID, "the example stands here").hex
    try:
        rendered = template.render([Message(role="user", content=placeholder)], prompt=True)
    except MisfitError as error:
        raise InputError(
            f"the chat template of the judge {tokenizer.name_or_path} cannot show a user message: {error}; "
            "mend the template or use an instruct model"
        ) from error
    if rendered.count(placeholder) != 1:
        raise InputError("the judge's chat template does not show a user message exactly once; use an instruct model")
    prefix, suffix = rendered.split(placeholder)
    if suffix.rstrip().endswith("<think>"):
        raise InputError(
            f"the chat template of the judge {tokenizer.name_or_path} asks for a thought before the answer; use a "
            "model that answers at once"
        )
    return prefix, suffix


def _control_ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Token ids of text from the chat template, its control tokens as such."""
    ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return ids


def _spell_control_tokens(tokenizer: "PreTrainedTokenizerBase", template_ids: set[int]) -> dict[int, tuple[int, ...]]:
    """Every control token, with the ids that spell it as plain text.

    Control tokens are those that the tokenizer calls special, and the added ones that its template uses or that look
    like one. A tokenizer may find one in plain text in spite of `split_special_tokens`: the latter two kinds, or where
    its model has it as a word.
    """
    added = tokenizer.added_tokens_decoder
    special = {token for token, entry in added.items() if entry.special} | set(tokenizer.all_special_ids)
    named = {token for token, entry in added.items() if _CONTROL_NAME.fullmatch(entry.content.strip())}
    control = special | named | (template_ids & set(added))
    return {token: _spell(tokenizer, token, control) for token in sorted(control)}


def _spell(tokenizer: "PreTrainedTokenizerBase", token: int, control: set[int]) -> tuple[int, ...]:
    """The token's text in ids that are not control tokens: cut in two, or else character by character."""
    text = tokenizer.convert_ids_to_tokens(token)
    middle = len(text) // 2
    for parts in ((text[:middle], text[middle:]), tuple(text)):
        ids = [
            piece
            for part in parts
            for piece in tokenizer(part, add_special_tokens=False, split_special_tokens=True).input_ids
        ]
        if ids and control.isdisjoint(ids):
            return tuple(ids)
    raise InputError(f"the judge's tokenizer has no plain spelling of its control token {text!r}")
