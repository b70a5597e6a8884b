"""A rendered conversation as token ids, and which of them are an answer and the token that ends it."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING

from storm_core.chat_templates.chat_template import Answer, ChatTemplate, Conversation
from storm_core.chat_templates.rendering import CHAT_TEMPLATE, UNSTABLE_PREFIX, MisfitError
from storm_core.errors import InputError
from storm_core.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Token ids with the characters that each stands for."""

    ids: list[int]
    offsets: list[tuple[int, int]]


Specimen = tuple[Conversation, Tokens]


class AnswerTokens:
    """Turns conversations into token ids for one tokenizer; none is added to what the template wrote, no BOS either."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", template: ChatTemplate) -> None:
        """Reads nothing yet.

        Raises:
            InputError: the tokenizer cannot say which characters a token stands for.
        """
        if not tokenizer.is_fast:
            raise InputError(
                f"the tokenizer in {tokenizer.name_or_path} does not say where its tokens lie in the text; give the "
                "model a tokenizer.json"
            )
        self._tokenizer = tokenizer
        self._template = template
        # Turns often end with a token that the tokenizer does not call special.
        self._added = set(tokenizer.added_tokens_decoder) | set(tokenizer.all_special_ids)

    def tokenize(self, conversation: Conversation) -> tuple[list[int], list[range]]:
        """The token ids, and the places of each answer's, from where the model takes over to the token that ends it.

        Where the template leaves it to the next turn to end an answer, the last one has that token behind it.

        Raises:
            MisfitError: an answer's first token stands for what comes before it too, or no token ends an answer.
        """
        tokens, starts = self._encode(conversation)
        ids = tokens.ids
        ends = [self._end(conversation.text, answer, tokens) for answer in conversation.answers]
        if ends[-1:] == [None] and self._unwritten is not None and _ends_all(conversation):
            ends[-1], ids = len(ids), [*ids, self._unwritten]
        if None in ends:
            raise MisfitError(CHAT_TEMPLATE, "the chat template ends an answer with no token of its own")
        return ids, [range(start, end + 1) for start, end in zip(starts, ends, strict=True) if end is not None]

    @cached_property
    def ends(self) -> dict[int, str]:
        """The tokens with which the template ends answers, each with its spelling; empty where it has none."""
        found = {*self._ends_of(self._specimen), *self._ends_of(self._read_specimen(_WITH_TOOL))}
        return self._spellings({end for end in found if end is not None})

    @cached_property
    def control(self) -> tuple[str, ...]:
        """Spellings of what ends and starts turns: special tokens, and others that the template uses so."""
        special = {token for token, entry in self._tokenizer.added_tokens_decoder.items() if entry.special}
        return tuple(self._spellings(special | self._between_turns()).values())

    def _between_turns(self) -> set[int]:
        conversation, tokens = self._specimen
        gaps = [(answer.end, answer.limit) for answer in conversation.answers]
        return {
            token
            for token, (start, end) in zip(tokens.ids, tokens.offsets, strict=True)
            if token in self._added and any(low <= start and end <= high for low, high in gaps)
        }

    @cached_property
    def _specimen(self) -> Specimen:
        return self._read_specimen(_SPECIMEN)

    def _read_specimen(self, messages: Sequence[Message]) -> Specimen:
        """A conversation with two answers; without any where the template does not fit it."""
        try:
            conversation = self._template.conversation(messages)
            tokens, _ = self._encode(conversation)
        except MisfitError:
            return Conversation(text="", answers=()), Tokens(ids=[], offsets=[])
        return conversation, tokens

    def _ends_of(self, specimen: Specimen) -> list[int | None]:
        """The token that ends each answer."""
        conversation, tokens = specimen
        places = [self._end(conversation.text, answer, tokens) for answer in conversation.answers]
        return [None if place is None else tokens.ids[place] for place in places]

    @cached_property
    def _unwritten(self) -> int | None:
        """The token that ends an answer only where a user turn follows, as GLM's does: that turn's own first."""
        match self._ends_of(self._specimen):
            case [int(end), None]:
                return end
        return None

    @cached_property
    def _closing(self) -> str:
        """What the template writes behind every answer, the last and others, without white space around it."""
        conversation, _ = self._specimen
        limits = [len(conversation.text)] * len(conversation.answers)
        if limits:
            limits[-1] = self._asks_again(*self._specimen)
        behind = [conversation.text[a.end : limit] for a, limit in zip(conversation.answers, limits, strict=True)]
        return _common_start(behind).strip()

    def _asks_again(self, conversation: Conversation, tokens: Tokens) -> int:
        """Where the text begins that asks for another answer behind the last one, as some templates always do.

        It is what stands before that answer too, and names a role in words: a token that names one alone ends no
        answer, as another role follows the others.
        """
        text, last = conversation.text, conversation.answers[-1]
        starts = (last.end - len(_SPECIMEN[-1].content), last.end)
        before, behind = (bisect_left(tokens.offsets, (start, 0)) for start in starts)
        count = _common_end(tokens.ids[:before], tokens.ids[behind:])
        places = range(len(tokens.ids) - count, len(tokens.ids))
        words = [place for place in places if self._is_plain(text, tokens, place)]
        if not words:
            return len(text)
        opened = [place for place in places if place < words[-1] and tokens.ids[place] in self._added]
        return tokens.offsets[opened[-1] if opened else words[0]][0]

    def _is_plain(self, text: str, tokens: Tokens, place: int) -> bool:
        return tokens.ids[place] not in self._added and bool(text[slice(*tokens.offsets[place])].strip())

    def _spellings(self, tokens: set[int]) -> dict[int, str]:
        names = self._tokenizer.added_tokens_decoder
        return {
            token: names[token].content if token in names else str(self._tokenizer.convert_ids_to_tokens(token))
            for token in sorted(tokens)
        }

    def _encode(self, conversation: Conversation) -> tuple[Tokens, list[int]]:
        """Token ids, and the place of each answer's first."""
        cuts = [answer.start for answer in conversation.answers]
        whole = self._read(conversation.text)
        starts = [self._place(conversation.text, cut, whole) for cut in cuts]
        if None not in starts:
            return whole, [start for start in starts if start is not None]
        return self._encode_in_pieces(conversation.text, cuts, whole)

    def _place(self, text: str, cut: int, whole: Tokens) -> int | None:
        """How many tokens of the whole text the text up to `cut` makes; None where it makes others.

        An added token parts the text for the tokenizer: only what follows the last one is read again. All of it is
        read where that makes others, or where there is none.
        """
        behind = bisect_left(whole.offsets, (cut, 0))
        added = next((place for place in reversed(range(behind)) if whole.ids[place] in self._added), 0)
        for place in dict.fromkeys((added, 0)):
            start = whole.offsets[place][0] if place else 0
            ids = self._tokenizer(text[start:cut], add_special_tokens=False)["input_ids"]
            if whole.ids[place : place + len(ids)] == ids:
                return place + len(ids)
        return None

    def _encode_in_pieces(self, text: str, cuts: list[int], whole: Tokens) -> tuple[Tokens, list[int]]:
        """Each answer as the model would write it: after the tokens of what comes before."""
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        starts: list[int] = []
        for low, high in zip([0, *cuts], [*cuts, len(text)], strict=True):
            starts.append(len(ids))
            piece = self._read(text[low:high])
            ids += piece.ids
            offsets += [(low + start, low + end) for start, end in piece.offsets]
        # A tokenizer may write a space before whatever it is given.
        if self._text(ids) != self._text(whole.ids):
            raise MisfitError(UNSTABLE_PREFIX, "the first token of an answer stands for what comes before it too")
        return Tokens(ids=ids, offsets=offsets), starts[1:]

    def _read(self, text: str) -> Tokens:
        read = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return Tokens(ids=read["input_ids"], offsets=read["offset_mapping"])

    def _text(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _end(self, text: str, answer: Answer, tokens: Tokens) -> int | None:
        """The place of the token that ends the answer: the last that the template writes behind every answer.

        Where it writes none behind every answer, it is the one that follows at once.
        """
        gap = len(text[answer.end :]) - len(text[answer.end :].lstrip())
        behind = answer.end + gap
        high = behind + len(self._closing) if text.startswith(self._closing, behind) else behind
        after = range(*(bisect_left(tokens.offsets, (place, 0)) for place in (answer.end, answer.limit)))
        closes = [place for place in after if tokens.offsets[place][1] <= high and tokens.ids[place] in self._added]
        if closes:
            return closes[-1]
        first = next((place for place in after if text[slice(*tokens.offsets[place])].strip()), None)
        return first if first is not None and tokens.ids[first] in self._added else None


_SPECIMEN = (
    Message(role="user", content="Is it raining?"),
    Message(role="assistant", content="Not yet."),
    Message(role="user", content="And tomorrow?"),
    Message(role="assistant", content="Probably."),
)

_WITH_TOOL = (*_SPECIMEN[:2], Message(role="tool", content="It is dry."), _SPECIMEN[3])


def _ends_all(conversation: Conversation) -> bool:
    """Whether nothing follows the last answer."""
    return not conversation.text[conversation.answers[-1].end :].strip()


def _common_end(one: Sequence[int], other: Sequence[int]) -> int:
    """How many elements at the end of both are the same."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(reversed(one), reversed(other), strict=False)))


def _common_start(texts: Sequence[str]) -> str:
    alike = takewhile(lambda characters: len(set(characters)) == 1, zip(*texts, strict=False))
    return "".join(characters[0] for characters in alike)
