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

from storm_core.errors import InputError
from storm_core.judging.engines.config import JudgeConfig
from storm_core.judging.engines.endpoint_responses import NonsenseError, RefusedError
from storm_core.judging.engines.interface import Answer

COMPLETIONS = "/completions"
CHAT_COMPLETIONS = "/chat/completions"
KEY_VARIABLE = "OPENAI_API_KEY"
# So often is asked again what answers nonsense: a proxy's error page passes, a wrong address does not.
_ANSWER_TRIES = 3
_SECONDS_BETWEEN_TRIES = 1.0
_SHOWN_CHARACTERS = 200
# An answer of one token has some kilobytes.
_MOST_BYTES = 4 * 2**20
_DEADLINE = "storm_deadline"
# What says that the request is wrong, not the server busy.
REFUSED = (400, 422)


class Endpoint:
    """Sends JSON to an endpoint and returns the JSON object that it answers. May be used from several threads."""

    def __init__(self, config: JudgeConfig) -> None:
        """Opens no connection yet.

        Raises:
            InputError: the openai package is missing, or the address or the key is none.
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
        self._key = _read_key()
        self._pace = _Pace(config.endpoint_requests_per_minute)
        self._seconds = config.endpoint_timeout_seconds
        self._openai = openai
        self._client = openai.OpenAI(
            base_url=config.endpoint,
            # The client insists on a key; a server of one's own usually wants none.
            api_key=self._key or "none",
            timeout=config.endpoint_timeout_seconds,
            max_retries=config.endpoint_retries,
            # What is compressed would be bounded before it is unpacked, not after.
            default_headers={"Accept-Encoding": "identity"},
            # A hook sees the client's own retries too.
            http_client=openai.DefaultHttpxClient(
                timeout=config.endpoint_timeout_seconds,
                event_hooks={"request": [self._begin], "response": [_read_bounded]},
            ),
        )

    def post(self, path: str, body: Mapping[str, Any], read: Callable[[bytes], Answer]) -> Answer:
        """What `read` makes of the response to `body`.

        Args:
            path: `COMPLETIONS` or `CHAT_COMPLETIONS`.
            body: the JSON object to send.
            read: raises NonsenseError for what is no answer.

        Raises:
            RefusedError: the endpoint does not take a body of this form (400, 422), or `read` says so.
            InputError: it cannot be reached, does not know path, model or key, fails all the time, or answers nonsense.
        """
        for tries_left in reversed(range(_ANSWER_TRIES)):
            content = self._send(path, body)
            try:
                _check_size(content)
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

    def _begin(self, request: Any) -> None:
        """Wait for the request's turn; from then on its time runs."""
        self._pace.wait()
        request.extensions[_DEADLINE] = time.monotonic() + self._seconds

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
        import httpx2

        return self._client.post(path, body=body, cast_to=httpx2.Response).content

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


def _read_bounded(response: Any) -> None:
    """Read the body of an httpx2 response, which by itself bounds the time of each read alone.

    One byte more than may be is kept of what is too long, for `_check_size` to see.
    """
    import httpx2

    content = bytearray()
    for chunk in response.stream:
        content += chunk
        if time.monotonic() > response.request.extensions[_DEADLINE]:
            raise httpx2.ReadTimeout("the answer did not end in time", request=response.request)
        if len(content) > _MOST_BYTES:
            break
    response.stream.close()
    response.stream = httpx2.ByteStream(bytes(content[: _MOST_BYTES + 1]))


def _check_size(content: bytes) -> None:
    if len(content) > _MOST_BYTES:
        raise NonsenseError(f"it is longer than {_MOST_BYTES} bytes")


def _read_key() -> str:
    """The key in the environment, without the line's end that a mounted secret often has; empty where there is none."""
    given = os.environ.get(KEY_VARIABLE, "")
    key = given.strip()
    if given and not (key and key.isascii() and key.isprintable()):
        raise InputError(f"{KEY_VARIABLE} must hold a key of printable ASCII characters; unset it if there is none")
    return key


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError as error:
        raise InputError(f"endpoint must be an http or https URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"endpoint must be an http or https URL such as http://localhost:8000/v1, got {address!r}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError(f"endpoint must be a plain URL; a key belongs into {KEY_VARIABLE}, not into the address")
