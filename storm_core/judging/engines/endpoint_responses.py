"""What an OpenAI-compatible endpoint answers, checked: log-probabilities of the first token it would generate.

Two forms are in use: `/completions` lists them by token text (or, from vLLM on request, as `token_id:5`), while
`/chat/completions`, and llama.cpp everywhere, list objects with `token`, `logprob` and sometimes `id`.
"""

import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from storm_core.judging.engines.answers import make_answer
from storm_core.judging.engines.interface import Answer

_TOKEN_ID_PREFIX = "token_id:"  # noqa: S105 (not a secret)
# Servers round, cut off and scale, so that a sum may be a little above one. Two tokens that are certain are none.
_LARGEST_SUM = 1.5
# How tokenizers mark that a word begins, where a server names tokens as their vocabulary does.
_WORD_MARKS = " \t\n\u0120\u2581\u010a"
# Servers round; a log-probability above this is none.
_LARGEST = 1e-3
# How models begin a thought: Qwen3 and R1, gpt-oss, Mistral, Cohere, Kimi, Seed, and others alike.
_THOUGHT = re.compile(
    r"\s*(?:<\|?(?:START_)?(?:seed:)?(?:think|thought|reason|thinking|THINKING|analysis|channel)|\[THINK\]|\u25c1think)"
)
_SHOWN_CHARACTERS = 40


class NonsenseError(Exception):
    """The answer is not what such an endpoint answers; says what is wrong with it.

    Attributes:
        is_strange: whether another kind of server may have answered.
    """

    def __init__(self, message: str, *, is_strange: bool = True) -> None:
        super().__init__(message)
        self.is_strange = is_strange


class RefusedError(Exception):
    """The endpoint does not answer this request: not in this form, or not about this text.

    Attributes:
        status: of HTTP, where that, or the error within an answer, says so.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def read_answer(
    content: bytes,
    labels: Mapping[int, str],
    *,
    prompt_tokens: int | None,
    token_text: Callable[[int], str] = str,
) -> Answer:
    """The answer in the body of a response.

    A label counts as reported under its token id or its text; under its text alone where text was sent, as the ids are
    then those of the server's own tokenizer. Where some are not, each of them is at most as probable as the least
    probable token that is. Of a judge that begins with a thought none counts: it has not answered yet.

    Args:
        content: the body.
        labels: text of each label's first token, by token id, in the rubric's order.
        prompt_tokens: how many token ids were sent; None where text was.
        token_text: the text of a token that the server names by its id.

    Raises:
        NonsenseError: it is not JSON, or lacks what it must have.
        RefusedError: it reports no token, as of a filtered text, or where the server ends its turn at once; or it read
            fewer tokens than were sent.
    """
    answer = _parse(content)
    _check_read(_tokens_read(answer), prompt_tokens)
    reported = _first_token(answer, with_ids=prompt_tokens is not None)
    if not reported:
        thought = _thought(answer)
        if not thought:
            raise RefusedError("an answer that reports no token")
        return _unanswered(labels, thought)
    first = max(reported, key=reported.__getitem__)
    text = token_text(first) if isinstance(first, int) else first
    if is_thought(text):
        return _unanswered(labels, text)
    if prompt_tokens is None:
        reported = _joined(reported, labels.values())
    found = [reported.get(token, reported.get(label)) for token, label in labels.items()]
    made = make_answer(found, _unseen_mass(reported, found.count(None)))
    return made if made.is_answer else replace(made, instead=text[:_SHOWN_CHARACTERS])


def _joined(reported: dict[int | str, float], labels: Iterable[str]) -> dict[int | str, float]:
    """The tokens with each label's probability in one: a server's own tokenizer may have ` 4` beside `4`."""
    joined: dict[int | str, float] = {}
    known = set(labels)
    for name, value in reported.items():
        bare = name.strip(_WORD_MARKS) if isinstance(name, str) else name
        joined_name = bare if bare in known else name
        before = joined.get(joined_name)
        joined[joined_name] = value if before is None else math.log(math.exp(before) + math.exp(value))
    return joined


def is_thought(text: str) -> bool:
    """Whether what a judge begins with opens a thought."""
    return _THOUGHT.match(text) is not None


def tokens_read(content: bytes) -> int | None:
    """How many tokens the server says it read; None where it does not say."""
    return _tokens_read(_parse(content))


def _tokens_read(answer: Mapping[str, Any]) -> int | None:
    usage = answer.get("usage")
    read = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return read if isinstance(read, int) and read > 0 else None


def _check_read(read: int | None, sent: int | None) -> None:
    if sent is None or read is None or read == sent:
        return
    said = f"it read {read} tokens where {sent} ids were sent: "
    if read < sent:
        raise RefusedError(f"{said}it cuts the prompt, or does not take ids as they are; endpoint_prompts may be text")
    raise NonsenseError(f"{said}it does not take ids as they are; set endpoint_prompts to text", is_strange=False)


def _unanswered(labels: Mapping[int, str], text: str) -> Answer:
    """A thought: what it has for labels at its start is not the judge's answer."""
    return replace(make_answer([None] * len(labels), 1.0), instead=text[:_SHOWN_CHARACTERS])


def _parse(content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        raise NonsenseError("it is not JSON") from None
    if not isinstance(answer, dict):
        raise NonsenseError("it is not a JSON object")
    return answer


def _thought(answer: Mapping[str, Any]) -> str:
    """The start of a thought that was all that was generated; "" where there is none.

    vLLM, SGLang, Ollama and gateways give it apart from the answer; OpenAI's says how long it was.
    """
    message = answer["choices"][0].get("message")
    for name in ("reasoning_content", "reasoning", "thinking"):
        text = message.get(name) if isinstance(message, dict) else None
        if isinstance(text, str) and text.strip():
            return f"<think>{text}"
    usage = answer.get("usage")
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    return "<think>" if isinstance(details, dict) and details.get("reasoning_tokens") else ""


def _first_token(answer: Mapping[str, Any], *, with_ids: bool) -> dict[int | str, float]:
    """Log-probabilities at the first generated token, by text or, `with_ids`, by token id where there is one.

    Empty where nothing was generated, nothing is said of it, or no more than a thought.
    """
    try:
        choice = answer["choices"][0]
        logprobs = choice["logprobs"]
        if choice.get("finish_reason") == "content_filter" or (logprobs is None and _thought(answer)):
            return {}
        if logprobs.get("content") is not None:
            places = [_from_list(place["top_logprobs"], with_ids=with_ids) for place in logprobs["content"]]
        else:
            places = [_from_object(place, with_ids=with_ids) for place in logprobs["top_logprobs"]]
    except (KeyError, IndexError, TypeError, AttributeError):
        raise NonsenseError(
            "it holds no log-probabilities; the server must support logprobs", is_strange="choices" not in answer
        ) from None
    first = places[0] if places else {}
    for name, value in first.items():
        if not _is_logarithm(value):
            raise NonsenseError(f"it gives {name!r} the log-probability {value!r}", is_strange=False)
    total = math.fsum(math.exp(value) for value in first.values())
    if total > _LARGEST_SUM:
        raise NonsenseError(
            f"its log-probabilities are none: the probabilities add up to {total:.2f}", is_strange=False
        )
    return first


def _is_logarithm(value: Any) -> bool:
    """Whether it is a number that a probability's logarithm may be."""
    if isinstance(value, int):
        # One of a thousand digits, of which no float can be made, is none either.
        return not isinstance(value, bool) and -sys.float_info.max <= value <= _LARGEST
    return isinstance(value, float) and value <= _LARGEST


def _from_list(entries: list[Any], *, with_ids: bool) -> dict[int | str, float]:
    named: dict[int | str, float] = {}
    for entry in entries:
        name = entry.get("id", entry["token"]) if with_ids else entry["token"]
        # Two tokens may have the same text; the more probable one comes first.
        named.setdefault(name, entry["logprob"])
    return named


def _from_object(entries: Mapping[str, float], *, with_ids: bool) -> dict[int | str, float]:
    named: dict[int | str, float] = {}
    for name, value in entries.items():
        number = name.removeprefix(_TOKEN_ID_PREFIX)
        is_id = with_ids and number != name and number.isascii() and number.isdecimal()
        named[int(number) if is_id else name] = value
    return named


def _unseen_mass(reported: Mapping[int | str, float], missing: int) -> float:
    if not missing:
        return 0.0
    rest = 1.0 - math.fsum(math.exp(value) for value in reported.values())
    return max(0.0, min(rest, missing * math.exp(min(reported.values()))))
