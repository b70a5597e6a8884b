"""The requests that an OpenAI-compatible server is sent, in the forms that servers take."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from storm_core.errors import InputError
from storm_core.judging.engines.config import JudgeConfig
from storm_core.judging.engines.endpoint_address import CHAT_COMPLETIONS, COMPLETIONS
from storm_core.judging.wording.prompts import Context, PromptBuilder, Question

A = TypeVar("A")


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One way of asking for log-probabilities.

    Attributes:
        top: how many of the most probable tokens to report.
        by_id: whether to ask for the label tokens by their ids too; vLLM knows how.
        limit: the field that says how many tokens to generate.
    """

    top: int
    by_id: bool = False
    limit: str = "max_tokens"


# Richest first; the first that the server does not refuse is used. 20 and 5 are the most that servers commonly give.
DIALECTS = {
    "tokens": (Dialect(top=20, by_id=True), Dialect(top=20), Dialect(top=5)),
    # A server that takes text has its own idea of token ids. Newer models want the new name of the limit.
    "text": (Dialect(top=20), Dialect(top=20, limit="max_completion_tokens"), Dialect(top=5)),
}


def request(
    builder: PromptBuilder, config: JudgeConfig, context: Context, question: Question, dialect: Dialect
) -> tuple[str, dict[str, Any]]:
    """Path and body of the request for one generated token."""
    # At temperature 0 the token that is generated is the most probable one, so no run adds another by chance.
    body = {"model": config.endpoint_model, "temperature": 0, "seed": 0, dialect.limit: 1}
    if config.endpoint_prompts == "text":
        message = {"role": "user", "content": builder.harmless_text(context, question)}
        return CHAT_COMPLETIONS, {**body, "messages": [message], "logprobs": True, "top_logprobs": dialect.top}
    body |= {"prompt": [*context.ids, *question.ids], "logprobs": dialect.top}
    if dialect.by_id:
        body |= {"logprob_token_ids": list(question.label_ids), "return_tokens_as_token_ids": True}
    return COMPLETIONS, body


def ask_each(
    ask: Callable[[Context], A], contexts: Sequence[Context], *, at_once: int, stop: Callable[[], None]
) -> tuple[list[A | None], InputError | None]:
    """What `ask` returns of each context, so many `at_once`, and the first error that it raised.

    After one fails no other begins; those under way are waited for, once `stop` has told them not to try again.
    """
    with ThreadPoolExecutor(at_once) as executor:
        futures = [executor.submit(ask, context) for context in contexts]
        try:
            is_whole = not wait(futures, return_when=FIRST_EXCEPTION).not_done
        except BaseException:
            _take_back(futures, stop)
            raise
        if not is_whole:
            _take_back(futures, stop)
    errors = [error for error in map(_error, futures) if error is not None]
    for error in errors:
        if not isinstance(error, InputError):
            raise error
    answers = [None if future.cancelled() or future.exception() else future.result() for future in futures]
    return answers, next((error for error in errors if isinstance(error, InputError)), None)


def _take_back(futures: "Sequence[Future[A]]", stop: Callable[[], None]) -> None:
    for future in futures:
        future.cancel()
    stop()


def _error(future: "Future[A]") -> BaseException | None:
    return None if future.cancelled() else future.exception()
