"""An OpenAI-compatible HTTP endpoint: requests with retries, a rate limit, and errors a person can act on.

What may pass (429, 5xx, the same as an error in a 200, time-outs, broken connections) is sent again, with growing
pauses or those that `Retry-After` asks for. What is no answer is asked again too. Messages give the server's own words,
without the key.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

from storm_core.errors import InputError
from storm_core.judging.engines.config import JudgeConfig
from storm_core.judging.engines.endpoint_address import KEY_VARIABLE, base_url
from storm_core.judging.engines.endpoint_connection import (
    MOST_BYTES,
    Connection,
    MovedError,
    NoReplyError,
    Reply,
)
from storm_core.judging.engines.endpoint_failures import Failure, Kind, read_failure
from storm_core.judging.engines.endpoint_responses import NonsenseError, RefusedError
from storm_core.progress import report

A = TypeVar("A")
# So often is asked again what answers nonsense: a proxy's error page passes, a wrong address does not.
_ANSWER_TRIES = 3
_SECONDS_BETWEEN_TRIES = 1.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0
# The limits of gateways are by the minute; who asks for more than this means a quota of the day.
_LONGEST_WAIT_SECONDS = 600.0
_SAID_WAIT_SECONDS = 30.0
_SHOWN_CHARACTERS = 300
_RESUME = "what is scored is kept, so run again when it works"
_ADVICE = "is endpoint the base URL of an OpenAI-compatible server, such as http://localhost:8000/v1?"


class Endpoint:
    """Sends JSON to an endpoint and returns what its answer says. May be used from several threads."""

    def __init__(self, config: JudgeConfig) -> None:
        """Opens no connection yet.

        Raises:
            InputError: the openai package is missing, or the address, the key or the proxy cannot be used.
        """
        self.address = base_url(config.endpoint)
        self._tries = config.endpoint_retries + 1
        self._pace = _Pace(config.endpoint_requests_per_minute)
        self._connection = Connection(self.address, config.endpoint_timeout_seconds, self._pace.wait)

    def post(self, path: str, body: Mapping[str, Any], read: Callable[[bytes], A]) -> A:
        """What `read` makes of the response to `body`.

        Args:
            path: `COMPLETIONS` or `CHAT_COMPLETIONS`.
            body: the JSON object to send.
            read: raises NonsenseError for what is no answer.

        Raises:
            RefusedError: the endpoint does not take this body, for its form or its text, or `read` says so.
            InputError: it cannot be reached, does not know path, model or key, fails all the time, or answers nonsense.
        """
        for tries_left in reversed(range(_ANSWER_TRIES)):
            reply = self._send(path, body)
            try:
                _check_size(reply.content)
                return read(reply.content)
            except NonsenseError as error:
                if not tries_left:
                    self._give_up_on_nonsense(path, reply, error)
            except RefusedError as error:
                raise RefusedError(self.shown(str(error))) from error
            self._pace.pause(_SECONDS_BETWEEN_TRIES)
        raise AssertionError("the last try returns or raises")

    def stop(self) -> None:
        """Have requests of other threads that wait to be sent again fail with what they have."""
        self._pace.stop()

    def start(self) -> None:
        """Let requests wait again."""
        self._pace.start()

    def close(self) -> None:
        """Close all connections."""
        self._connection.close()

    def shown(self, text: str) -> str:
        """The start of what the server says, in one line, without secrets."""
        return " ".join(self._connection.masked(text).split())[:_SHOWN_CHARACTERS]

    def _send(self, path: str, body: Mapping[str, Any]) -> Reply:
        """The first reply that is no failure."""
        for number in range(self._tries):
            last = number == self._tries - 1
            try:
                reply = self._connection.send(path, body)
            except MovedError as error:
                raise InputError(
                    f"{self.address} {self.shown(str(error))}, which gets no key and no examples; give that address as "
                    "endpoint if it is the server you mean"
                ) from error
            except NoReplyError as error:
                if last or not self._pause(number, None):
                    self._give_up_on_silence(error, number + 1)
                continue
            failure = read_failure(reply.status, reply.headers, reply.content)
            if failure is None:
                return reply
            if failure.kind is Kind.REFUSED:
                raise RefusedError(f"{failure.shown}: {self.shown(failure.words)}", status=failure.status)
            if failure.kind is Kind.FINAL or last or not self._pause(number, failure.wait_seconds):
                self._give_up(path, failure, number + 1)
        raise AssertionError("the last try returns or raises")

    def _pause(self, number: int, asked_seconds: float | None) -> bool:
        """Wait before a request is sent again; False where it need not be."""
        if asked_seconds is None:
            seconds = min(_FIRST_PAUSE_SECONDS * 2.0**number, _LONGEST_PAUSE_SECONDS)
            # Requests that failed together should not come together again.
            return self._pace.pause(seconds * random.uniform(0.75, 1.0))  # noqa: S311 (no secret)
        if asked_seconds > _LONGEST_WAIT_SECONDS:
            return False
        if self._pace.hold(asked_seconds) and asked_seconds >= _SAID_WAIT_SECONDS:
            report(f"{self.address} asks to wait for {asked_seconds:.0f} s")
        return self._pace.pause(asked_seconds)

    def _give_up(self, path: str, failure: Failure, tries: int) -> NoReturn:
        says = f"{failure.shown}: {self.shown(failure.words) or 'nothing more'}"
        status = failure.status
        if status == 401:
            raise InputError(f"{self.address} answers {says}; {self.key_advice()}")
        if status == 404:
            versioned = "" if self.address.endswith("/v1") else "; the base URL of most servers ends in /v1"
            raise InputError(f"{self.address}{path} answers {says}; check endpoint and endpoint_model{versioned}")
        if (failure.wait_seconds or 0.0) > _LONGEST_WAIT_SECONDS:
            raise InputError(f"{self.address} answers {says}; it asks to wait {failure.wait_seconds:.0f} s; {_RESUME}")
        if failure.kind is Kind.PASSING:
            counted = f"{tries} tries" if tries > 1 else "one try"
            raise InputError(f"{self.address} still answers {says} (after {counted}); {_RESUME}")
        raise InputError(f"{self.address}{path} answers {says}; {_RESUME}")

    def _give_up_on_silence(self, error: NoReplyError, tries: int) -> NoReturn:
        proxy = self._connection.proxy
        way = f" through the proxy {proxy.shown} of {proxy.variable}" if proxy else ""
        if error.is_late:
            raise InputError(
                f"{self.address} did not answer in time{way}, {tries} times over; raise endpoint_timeout_seconds or "
                f"lower endpoint_concurrency; {_RESUME}"
            ) from error
        reason = self.shown(str(error))
        advice = "SSL_CERT_FILE may name the CAs to trust;" if "CERTIFICATE" in reason else "is the server up?"
        raise InputError(f"{self.address} cannot be reached{way}: {reason}; {advice} {_RESUME}") from error

    def _give_up_on_nonsense(self, path: str, reply: Reply, error: NonsenseError) -> NoReturn:
        shown = self.shown(reply.content.decode("utf-8", "replace")) or "nothing"
        advice = f"; {_ADVICE}" if error.is_strange else ""
        raise InputError(f"{self.address}{path}: {error}; the answer is {shown}{advice}") from error

    def key_advice(self) -> str:
        """What to do where the server refuses the key."""
        if self._connection.key:
            return f"does {KEY_VARIABLE} hold a key that it takes?"
        return f"{KEY_VARIABLE} is not set"


class _Pace:
    """Lets requests begin at a steady rate, and wait until they may."""

    def __init__(self, per_minute: int) -> None:
        self._seconds_apart = 60 / per_minute
        self._lock = threading.Lock()
        self._next = 0.0
        self._stopped = threading.Event()

    def wait(self) -> None:
        """Return when the next request may begin."""
        with self._lock:
            begin = max(self._next, time.monotonic())
            self._next = begin + self._seconds_apart
        self._stopped.wait(max(0.0, begin - time.monotonic()))

    def hold(self, seconds: float) -> bool:
        """Let no request begin for so long; whether that is news."""
        until = time.monotonic() + seconds
        with self._lock:
            # Requests that fail together ask for the same wait.
            is_news = until > self._next + 1.0
            self._next = max(self._next, until)
        return is_news

    def pause(self, seconds: float) -> bool:
        """Wait so long; False where it was stopped."""
        return not self._stopped.wait(seconds)

    def stop(self) -> None:
        """End all waiting."""
        self._stopped.set()

    def start(self) -> None:
        """Allow waiting again."""
        self._stopped.clear()


def _check_size(content: bytes) -> None:
    if len(content) > MOST_BYTES:
        raise NonsenseError(f"it is longer than {MOST_BYTES} bytes")
