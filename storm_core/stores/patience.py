"""Waiting for an S3 server that is away: boto3's attempts are over in seconds, a server's restart takes a minute."""

import http
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ConnectionClosedError, ReadTimeoutError, SSLError
from botocore.exceptions import ConnectionError as BotoConnectionError

from storm_core.progress import report

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SECONDS_BETWEEN_ATTEMPTS = 5.0
# What a gateway says while the server behind it is away.
_AWAY = (http.HTTPStatus.BAD_GATEWAY, http.HTTPStatus.SERVICE_UNAVAILABLE, http.HTTPStatus.GATEWAY_TIMEOUT)
_NO_ANSWER = (BotoConnectionError, ConnectionClosedError, ReadTimeoutError)
_FIRST_FAILURE = "storm.first_failure"


class Patience:
    """Has the requests of a client tried for so many seconds, while nothing but a gateway answers."""

    def __init__(self, client: "S3Client", seconds: float) -> None:
        self._endpoint = client.meta.endpoint_url
        self._seconds = seconds
        self._lock = threading.Lock()
        self._away_since: float | None = None
        self._said = False
        # Behind boto3's own handler: the first of the two that names a pause decides.
        handler: Callable[..., Any] = self._wait  # boto3's types know of no answer.
        client.meta.events.register_last("needs-retry.s3", handler, unique_id="storm-patience")

    def _wait(
        self, response: Any, caught_exception: Exception | None, request_dict: dict[str, Any], **_: object
    ) -> float | None:
        """Seconds to the next attempt; None where boto3 alone decides."""
        now = time.monotonic()
        with self._lock:
            if not _is_away(response, caught_exception):
                self._away_since, self._said = None, False
                return None
            if self._away_since is None:
                self._away_since = now
            # One request may fail while others are answered, and another may begin when the server is long away.
            waited = now - min(self._away_since, request_dict["context"].setdefault(_FIRST_FAILURE, now))
            self._say(waited)
        return _SECONDS_BETWEEN_ATTEMPTS if waited < self._seconds else None

    def _say(self, waited: float) -> None:
        """Write a line, once while the server is away, however many threads wait; none where that is soon over."""
        if waited >= _SECONDS_BETWEEN_ATTEMPTS and not self._said:
            self._said = True
            report(f"the S3 server at {self._endpoint} does not answer; it is tried for {self._seconds:.0f} s")


def _is_away(response: Any, error: Exception | None) -> bool:
    if error is not None:
        # A certificate is as wrong a minute later, and so is a request that cannot be sent.
        return isinstance(error, _NO_ANSWER) and not isinstance(error, SSLError)
    return response is not None and response[0].status_code in _AWAY
