"""lm-eval's model, asked in pieces, so that its next attempt continues after them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from storm_core.chat_templates.answer_tokens import AnswerTokens
from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.chat_templates.rendering import MisfitError
from storm_core.errors import InputError
from storm_core.evaluation.evaluation_cache import ReplyCache
from storm_core.progress import progress
from storm_core.records import Message


class ResumableLM(HFLM):  # type: ignore[misc]  # lm-eval has no types
    """A model of transformers that answers as many contexts at a time as a batch holds, and keeps each such piece.

    lm-eval's own cache writes pickles to SQLite, and finds out only afterwards that it has a whole task. Which tasks a
    group has, and how their questions were drawn, is the same as ever: pieces are cut from the finished requests.

    lm-eval would leave out a system turn that the chat template refuses, and have the tokenizer put a BOS before
    prompts that the template gave none. With `template` prompts are made as those of judge and training are.
    """

    def __init__(self, kept: ReplyCache, template: ChatTemplate | None, **options: Any) -> None:
        super().__init__(**options, add_bos_token=False if template else None)
        self._kept = kept
        self._template = template
        ends = AnswerTokens(self.tokenizer, template).ends if template else {}
        self._ends = [name for token, name in ends.items() if token not in self.tokenizer.all_special_ids]

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The conversation as the model reads it, up to its answer, or to the end of the answer that it continues.

        Raises:
            InputError: the template refuses it, or leaves out the text of a turn.
        """
        messages = [Message(role=turn["role"], content=turn["content"]) for turn in chat_history]
        template = self._template or ChatTemplate(self.tokenizer)
        try:
            return template.prompt(messages) if add_generation_prompt else template.beginning(messages)
        except MisfitError as error:
            raise InputError(f"the model's chat template cannot show a question of the benchmark: {error}") from error

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Log-likelihood in nats of each request's continuation, and whether it is the greedy one."""
        answer = super().loglikelihood
        return [(value, greedy) for value, greedy in self._in_pieces("loglikelihood", requests, answer)]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """The text that each request's context is continued with."""
        replies = self._in_pieces("generate_until", requests, super().generate_until)
        return [_until(reply, self._ends) for reply in replies]

    def _in_pieces(self, kind: str, requests: list[Instance], answer: Callable[..., Sequence[Any]]) -> list[Any]:
        replies: list[Any] = [None] * len(requests)
        pieces = cut([request.args[0] for request in requests], int(self.batch_size))
        for piece in progress(pieces, total=len(pieces), description=kind, unit="batches"):
            asked = [requests[index] for index in piece]
            question = [kind, [list(request.args) for request in asked]]
            found = self._kept.ask(question, partial(answer, asked, disable_tqdm=True))
            for index, reply in zip(piece, found, strict=True):
                replies[index] = reply
        self._kept.keep()
        return replies


def _until(reply: str, ends: Sequence[str]) -> str:
    """The reply up to the first of `ends`, which are tokens that the tokenizer takes for text."""
    places = [place for place in map(reply.find, ends) if place >= 0]
    return reply[: min(places, default=len(reply))]


def cut(contexts: Sequence[str], size: int) -> list[list[int]]:
    """Indices of the requests in pieces of `size` different contexts, with all the requests of each.

    The longest come first, as in lm-eval: what is too large for the memory fails at once, and little is padded.
    Requests of one context stay together, because lm-eval computes what they share only once.
    """
    by_context: dict[str, list[int]] = {}
    for index, context in enumerate(contexts):
        by_context.setdefault(context, []).append(index)
    longest_first = sorted(by_context, key=lambda context: (-len(context), context))
    starts = range(0, len(longest_first), size)
    return [[i for context in longest_first[start : start + size] for i in by_context[context]] for start in starts]
