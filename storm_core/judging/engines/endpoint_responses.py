"""What an OpenAI-compatible endpoint answers, checked: log-probabilities of the first token it would generate.

Two forms are in use: `/completions` lists them by token text (or, from vLLM on request, as `token_id:5`), while
`/chat/completions`, and llama.cpp everywhere, list objects with `token`, `logprob` and sometimes `id`.
"""

import json
import math
import sys
from collections.abc import Mapping
from typing import Any

from storm_core.judging.engines.answers import make_answer
from storm_core.judging.engines.interface import Answer

_TOKEN_ID_PREFIX = "token_id:"  # noqa: S105 (not a secret)
# Servers round; a log-probability above this is none.
_LARGEST = 1e-3


class NonsenseError(Exception):
    """The answer is not what such an endpoint answers; says what is wrong with it."""


class RefusedError(Exception):
    """The endpoint does not answer this request: not in this form, or not about this text."""


def read_answer(content: bytes, labels: Mapping[int, str], *, prompt_tokens: int | None) -> Answer:
    """The answer in the body of a response.

    A label counts as reported under its token id or its text; under its text alone where text was sent, as the ids are
    then those of the server's own tokenizer. Where some are not, each of them is at most as probable as the least
    probable token that is.

    Args:
        content: the body.
        labels: text of each label's first token, by token id, in the rubric's order.
        prompt_tokens: how many token ids were sent; None where text was.

    Raises:
        NonsenseError: it is not JSON, or lacks what it must have.
        RefusedError: it reports no token, as of a filtered text, or where the server ends its turn at once.
    """
    answer = _parse(content)
    usage = answer.get("usage")
    read = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    if prompt_tokens is not None and read is not None and read != prompt_tokens:
        raise NonsenseError(
            f"it read {read} tokens where {prompt_tokens} ids were sent: it does not take ids as they are; set "
            "endpoint_prompts to text"
        )
    reported = _first_token(answer, with_ids=prompt_tokens is not None)
    if not reported:
        raise RefusedError("an answer that reports no token")
    found = [reported.get(token, reported.get(text)) for token, text in labels.items()]
    missing = found.count(None)
    return make_answer(found, _unseen_mass(reported, missing))


def _parse(content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        raise NonsenseError("it is not JSON") from None
    if not isinstance(answer, dict):
        raise NonsenseError("it is not a JSON object")
    return answer


def _first_token(answer: Mapping[str, Any], *, with_ids: bool) -> dict[int | str, float]:
    """Log-probabilities at the first generated token, by text or, `with_ids`, by token id where there is one.

    Empty where nothing was generated, or nothing is said of it.
    """
    try:
        choice = answer["choices"][0]
        logprobs = choice["logprobs"]
        if choice.get("finish_reason") == "content_filter":
            return {}
        if logprobs.get("content") is not None:
            places = [_from_list(place["top_logprobs"], with_ids=with_ids) for place in logprobs["content"]]
        else:
            places = [_from_object(place, with_ids=with_ids) for place in logprobs["top_logprobs"]]
    except (KeyError, IndexError, TypeError, AttributeError):
        raise NonsenseError("it holds no log-probabilities; the server must support logprobs") from None
    first = places[0] if places else {}
    for name, value in first.items():
        if not _is_logarithm(value):
            raise NonsenseError(f"it gives {name!r} the log-probability {value!r}")
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
