"""What a server says is wrong, in the forms that are in use, and what kind of failure it is.

`{"error": {"message", "type", "code"}}` is OpenAI's, LiteLLM's, OpenRouter's, vLLM's and llama.cpp's; `{"object":
"error", "message"}` SGLang's and older vLLMs'; `{"error": "..."}` Ollama's and TGI's; `{"detail"}` FastAPI's. Gateways
begin a response with 200 before the model has answered, and what goes wrong then is its body.
"""

import email.utils
import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

# Of the words of kinds and codes, those that say which status is meant; the first that is found counts.
_MEANINGS = (
    (r"insufficient.?(?:quota|credit|balance|funds)|billing|payment", 402),
    (r"rate.?limit|too.?many.?requests|throttl", 429),
    (r"context.?(?:length|size|window)|content.?(?:filter|policy)|moderation|invalid.?request|bad.?request", 400),
    (r"auth|api.?key", 401),
    (r"permission|forbidden", 403),
    (r"not.?found", 404),
)
_MEANT = tuple((re.compile(pattern, re.IGNORECASE), status) for pattern, status in _MEANINGS)
# llama.cpp and others answer 500 to a prompt that is too long.
_TOO_LONG = re.compile(
    r"(?:context|sequence|prompt|input).{0,40}(?:exceed|too (?:long|large))|(?:exceed|more than).{0,60}context",
    re.IGNORECASE,
)
# Gemini, for one, answers 400 to a key that is none.
_ABOUT_THE_KEY = re.compile(
    r"(?:api|access).?key.{0,20}(?:not valid|invalid|incorrect|expired|missing|not found|required)|"
    r"(?:invalid|incorrect|missing|expired|no) (?:\w+ )?(?:api|access).?key",
    re.IGNORECASE,
)
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
# Where nothing says which.
_UNKNOWN = 500
_NAMES_OF_WORDS = (
    *("message", "detail", "error", "errors", "msg", "error_msg", "error_description", "status_msg", "reason", "title"),
    "base_resp",
)
_NAMES_OF_ERRORS = ("detail", "msg", "error_msg", "error_description", "status_msg", "base_resp")
# Beside a message that says nothing ("Provider returned error"), what it is about.
_NAMES_OF_MORE = ("metadata", "innererror", "n_prompt_tokens", "n_ctx")


class Kind(Enum):
    """What can be done about a failure."""

    PASSING = "ask again"
    REFUSED = "it is about this request"
    FINAL = "every request will fail so"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A request that was not answered.

    Attributes:
        status: that the server gives, or means.
        answered: the status of the response.
        words: what the server says; may hold anything.
        wait_seconds: how long it asks to wait; None where it does not.
    """

    status: int
    answered: int
    words: str
    wait_seconds: float | None = None

    @property
    def kind(self) -> Kind:
        """Whether it may pass, is about the request, or is about all of them.

        403 is a key without rights to some servers, and a text that is not wanted to others: whoever asks finds out by
        a request that was taken before.
        """
        if self.status in (400, 403, 413, 422, 451):
            return Kind.REFUSED
        passing = self.status in (408, 409, 424, 425, 429, 498) or (self.status >= 500 and self.status != 501)
        return Kind.PASSING if passing else Kind.FINAL

    @property
    def shown(self) -> str:
        """The status in words."""
        return str(self.status) if self.status == self.answered else f"{self.answered} with an error ({self.status})"


def read_failure(status: int, headers: Mapping[str, str], content: bytes) -> Failure | None:
    """The failure that a response is; None where it seems to be an answer."""
    text = content.decode("utf-8", "replace")
    body = _parse(text)
    error = _find_error(body) if isinstance(body, dict) else None
    if status < 300 and error is None:
        return None
    words = _words(error if error is not None else body) or text
    wait = read_wait(headers, time.time())
    return Failure(status=_status(status, error, words), answered=status, words=words, wait_seconds=wait)


def read_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that `Retry-After` asks to wait, by a number, `6m0s` or a date; None where it says nothing of use."""
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        seconds = _seconds(value, now)
        if seconds is None:
            continue
        seconds /= divisor
        if math.isfinite(seconds) and seconds > 0:
            return seconds
    return None


def _seconds(value: str, now: float) -> float | None:
    """What a header says: a number, a duration as `6m0s`, or a date."""
    try:
        return float(value)
    except ValueError:
        pass
    if value.strip() and (duration := _DURATION.fullmatch(value.strip())):
        return sum(float(part or 0) * unit for part, unit in zip(duration.groups(), (3600, 60, 1, 0.001), strict=True))
    try:
        return email.utils.parsedate_to_datetime(value).timestamp() - now
    except (TypeError, ValueError, OverflowError):
        return None


def _status(answered: int, error: Any, words: str) -> int:
    """The status that counts: that of the response, but where its body says what it is in truth."""
    if answered in (400, 403) and _ABOUT_THE_KEY.search(words):
        return 401
    if 300 <= answered < 500 and answered != 429:
        return answered
    meant = _meant(error)
    # A quota that is used up does not pass, and a prompt that is too long is no fault of the server.
    if meant == 402:
        return meant
    if (
        answered != 429
        and meant in (None, 400, *range(500, 600))
        and _TOO_LONG.search(f"{words} {list(_codes(error))}")
    ):
        return 400
    return answered if answered >= 300 else meant or _UNKNOWN


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _find_error(body: Mapping[str, Any]) -> Any:
    """The part of a body that says what is wrong; None where it holds an answer."""
    for name in ("error", "errors"):
        if body.get(name):
            return body[name]
    choices = body.get("choices")
    if isinstance(choices, list) and choices:
        first = choices[0] if isinstance(choices[0], dict) else {}
        if first.get("finish_reason") == "error" and not first.get("logprobs"):
            return first.get("error") or "the answer ended with an error"
        return first.get("error") or None
    # What is no answer and has words under such a name says what is wrong; a message alone may be a greeting.
    is_error = body.get("object") == "error" or body.get("success") is False or {"code", "message"} <= body.keys()
    return body if is_error or any(body.get(name) for name in _NAMES_OF_ERRORS) else None


def _words(error: Any) -> str:
    """What a person can read of an error."""
    if isinstance(error, str):
        return error
    if isinstance(error, list):
        return "; ".join(filter(None, map(_words, error)))
    if not isinstance(error, dict):
        return ""
    said = next((_words(error[name]) for name in _NAMES_OF_WORDS if error.get(name)), "")
    more = {name: error[name] for name in _NAMES_OF_MORE if error.get(name)}
    return f"{said} {json.dumps(more, ensure_ascii=False)}" if said and more else said or json.dumps(error)


def _meant(error: Any) -> int | None:
    """The status that an error's codes and kinds mean."""
    for code in map(str, _codes(error)):
        if code.isdecimal() and 400 <= int(code) < 600:
            return int(code)
        for pattern, status in _MEANT:
            if pattern.search(code):
                return status
    return None


def _codes(error: Any) -> Iterator[Any]:
    """Codes and kinds in an error, those first that say most."""
    if isinstance(error, list):
        for one in error:
            yield from _codes(one)
    elif isinstance(error, dict):
        named = [error[name] for name in ("type", "code", "status", "error_type") if isinstance(error.get(name), str)]
        yield from (name for name in named if re.search(r"quota|context", name))
        numbers = ("code", "status", "status_code", "error_code")
        yield from (error[name] for name in numbers if isinstance(error.get(name), int))
        yield from named
