"""An OpenAI-compatible HTTP endpoint: requests with retries, a rate limit, and errors a person can act on.

The openai client sends again what failed in a way that may pass (429, 5xx, time-outs, broken connections), with growing
pauses or those that `Retry-After` asks for. What is no answer is asked again here. The key comes from the
environment alone, and no message shows it.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from storm_core.curation.config import JudgeConfig
from storm_core.curation.engines.endpoint_answers import NonsenseError
from storm_core.curation.engines.interface import Answer
from storm_core.errors import InputError

COMPLETIONS = "/completions"
CHAT_COMPLETIONS = "/chat/completions"
KEY_VARIABLE = "OPENAI_API_KEY"
# So often is asked again what answers nonsense: a proxy's error page passes, a wrong address does not.
_ANSWER_TRIES = 3
_SECONDS_BETWEEN_TRIES = 1.0
_SHOWN_CHARACTERS = 200
# What says that the request is wrong, not the server busy.
REFUSED = (400, 422)


class RefusedError(Exception):
    """The endpoint does not take a request of this form."""


class Endpoint:
    """Sends JSON to an endpoint and returns the JSON object that it answers. May be used from several threads."""

    def __init__(self, config: JudgeConfig) -> None:
        """Opens no connection yet.

        Raises:
            InputError: the openai package is missing, or the address is none.
        """
        _check_address(config.endpoint)
        try:
            import openai
        except ModuleNotFoundError as error:
            raise InputError(
                f"engine openai needs the package {error.name}; install storm-kubeflow[openai], or set another engine"
            ) from error
        self.address = config.endpoint
        self._tries = config.endpoint_retries + 1
        self._key = os.environ.get(KEY_VARIABLE, "")
        pace = _Pace(config.endpoint_requests_per_minute)
        self._openai = openai
        self._client = openai.OpenAI(
            base_url=config.endpoint,
            # The client insists on a key; a server of one's own usually wants none.
            api_key=self._key or "none",
            timeout=config.endpoint_timeout_seconds,
            max_retries=config.endpoint_retries,
            # A hook sees the client's own retries too.
            http_client=openai.DefaultHttpxClient(
                timeout=config.endpoint_timeout_seconds, event_hooks={"request": [lambda _: pace.wait()]}
            ),
        )

    def post(self, path: str, body: Mapping[str, Any], read: Callable[[bytes], Answer]) -> Answer:
        """What `read` makes of the response to `body`.

        Args:
            path: `COMPLETIONS` or `CHAT_COMPLETIONS`.
            body: the JSON object to send.
            read: raises NonsenseError for what is no answer.

        Raises:
            RefusedError: the endpoint does not take a body of this form (400, 422).
            InputError: it cannot be reached, does not know path, model or key, fails all the time, or answers nonsense.
        """
        for tries_left in reversed(range(_ANSWER_TRIES)):
            content = self._send(path, body)
            try:
                return read(content)
            except NonsenseError as error:
                if not tries_left:
                    shown = self._shown(content.decode("utf-8", "replace")) or "nothing"
                    raise InputError(f"{self.address}{path}: {error}; the answer is {shown}; {_ADVICE}") from error
            time.sleep(_SECONDS_BETWEEN_TRIES)
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _send(self, path: str, body: Mapping[str, Any]) -> bytes:
        try:
            return self._create(path, body)
        except self._openai.APIStatusError as error:
            if error.status_code in REFUSED:
                raise RefusedError(self._shown(error.response.text)) from error
            raise InputError(self._describe_status(path, error.status_code, error.response.text)) from error
        except self._openai.APITimeoutError as error:
            raise InputError(
                f"{self.address} did not answer in time, {self._tries} times over; raise endpoint_timeout_seconds or "
                f"lower endpoint_concurrency; {_RESUME}"
            ) from error
        except self._openai.APIConnectionError as error:
            reason = self._shown(str(error.__cause__ or error))
            raise InputError(f"{self.address} cannot be reached: {reason}; is the server up? {_RESUME}") from error

    def _create(self, path: str, body: Mapping[str, Any]) -> bytes:
        """The body of the response, as it is: the client would build an object of whatever comes."""
        rest = dict(body)
        model = rest.pop("model")
        if path == COMPLETIONS:
            prompt = rest.pop("prompt")
            return self._client.completions.with_raw_response.create(
                model=model, prompt=prompt, extra_body=rest
            ).content
        messages = rest.pop("messages")
        chat = self._client.chat.completions.with_raw_response
        return chat.create(model=model, messages=messages, extra_body=rest).content

    def _describe_status(self, path: str, status: int, text: str) -> str:
        if status in (401, 403):
            return f"{self.address} answers {status}; does {KEY_VARIABLE} hold a key that it takes?"
        if status == 404:
            return f"{self.address}{path} answers 404: {self._shown(text)}; check endpoint and endpoint_model"
        if status == 429 or status >= 500:
            return f"{self.address} still answers {status} after {self._tries} tries: {self._shown(text)}; {_RESUME}"
        return f"{self.address}{path} answers {status}: {self._shown(text)}"

    def _shown(self, text: str) -> str:
        """The start of what the server says, in one line, without the key."""
        line = " ".join((text.replace(self._key, "***") if self._key else text).split())
        return line[:_SHOWN_CHARACTERS]


_ADVICE = "is endpoint the base URL of an OpenAI-compatible server, such as http://localhost:8000/v1?"
_RESUME = "what is scored is kept, so run again when it works"


class _Pace:
    """Lets requests begin at a steady rate."""

    def __init__(self, per_minute: int) -> None:
        self._seconds_apart = 60 / per_minute
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Return when the next request may begin."""
        with self._lock:
            begin = max(self._next, time.monotonic())
            self._next = begin + self._seconds_apart
        time.sleep(max(0.0, begin - time.monotonic()))


def _check_address(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"endpoint must be an http or https URL such as http://localhost:8000/v1, got {address!r}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError(f"endpoint must be a plain URL; a key belongs into {KEY_VARIABLE}, not into the address")
