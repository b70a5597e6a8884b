"""One request to an endpoint by the openai client: bounded in time and size, sent nowhere else, by the proxy it needs.

The key goes into the header and to the endpoint alone. The client's own retries are off: it knows no error in a 200.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from storm_core.errors import InputError
from storm_core.judging.engines.endpoint_address import KEY_VARIABLE, base_path
from storm_core.judging.engines.endpoint_proxy import Proxy, find_proxy

if TYPE_CHECKING:
    import httpx2

# An answer of one token has some kilobytes.
MOST_BYTES = 4 * 2**20
_DEADLINE = "storm_deadline"
_SHORTEST_MASKED = 4


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A response, whatever its status; of a body that is too long, one byte more than `MOST_BYTES`."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class NoReplyError(Exception):
    """No whole response came; says why.

    Attributes:
        is_late: whether it did not come in time.
    """

    def __init__(self, reason: str, *, is_late: bool) -> None:
        super().__init__(reason)
        self.is_late = is_late


class MovedError(Exception):
    """The server sends on to another address, which is said."""


class Connection:
    """Sends requests, from several threads.

    Attributes:
        key: in the environment; "" where there is none.
        proxy: through which it reaches the endpoint.
    """

    def __init__(self, address: str, timeout_seconds: float, wait_for_turn: Callable[[], None]) -> None:
        """Opens no connection yet.

        Args:
            address: the base URL.
            timeout_seconds: from the request's turn to the end of its answer.
            wait_for_turn: returns when a request may begin.

        Raises:
            InputError: the openai package is missing, or the address, the key or the proxy cannot be used.
        """
        try:
            import httpx2
            import openai
        except ModuleNotFoundError as error:
            raise InputError(
                f"engine openai needs the package {error.name}; install storm-kubeflow[openai], or set another engine"
            ) from error
        self.key = _read_key()
        self.proxy = find_proxy(address)
        self._openai, self._response = openai, httpx2.Response
        self._seconds, self._wait_for_turn = timeout_seconds, wait_for_turn
        try:
            httpx2.URL(address)
        except httpx2.InvalidURL as error:
            raise InputError(f"endpoint must be an http or https URL: {error}") from error
        self._client = openai.OpenAI(
            base_url=address,
            # The client insists on a key; a server of one's own usually wants none.
            api_key=self.key or "none",
            max_retries=0,
            # What is compressed would be bounded before it is unpacked, not after.
            default_headers={"Accept-Encoding": "identity"},
            http_client=openai.DefaultHttpxClient(
                timeout=timeout_seconds,
                event_hooks={"request": [self._begin], "response": [_refuse_moves, _read_bounded]},
                transport=_transport(self.proxy),
            ),
        )

    def send(self, path: str, body: Mapping[str, Any]) -> Reply:
        """The response to a JSON object.

        Raises:
            NoReplyError: none came, or not in time.
            MovedError: the server sends on to another place.
        """
        try:
            # As it is: the client would build an object of whatever comes.
            response = self._client.post(path, body=body, cast_to=self._response)
        except self._openai.APIStatusError as error:
            response = error.response
        except self._openai.APITimeoutError as error:
            raise NoReplyError("no answer in time", is_late=True) from error
        except self._openai.APIConnectionError as error:
            raise NoReplyError(str(error.__cause__ or error), is_late=False) from error
        return Reply(status=response.status_code, headers=response.headers, content=response.content)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def masked(self, text: str) -> str:
        """The text without the key, and without user and password of the proxy."""
        secrets = [self.key]
        if self.proxy:
            parts = urlsplit(self.proxy.url)
            secrets += [parts.netloc.rpartition("@")[0], parts.password or ""]
        shown = text
        for secret in secrets:
            if len(secret) >= _SHORTEST_MASKED:
                shown = shown.replace(secret, "***")
        return shown

    def _begin(self, request: "httpx2.Request") -> None:
        """Wait for the request's turn; from then on its time runs."""
        self._wait_for_turn()
        request.extensions[_DEADLINE] = time.monotonic() + self._seconds


def _transport(proxy: Proxy | None) -> "httpx2.HTTPTransport":
    """To the endpoint, or to its proxy; given one, the client looks at no proxy in the environment."""
    import httpx2
    from openai import DEFAULT_CONNECTION_LIMITS

    return httpx2.HTTPTransport(limits=DEFAULT_CONNECTION_LIMITS, proxy=proxy.url if proxy else None)


def _refuse_moves(response: "httpx2.Response") -> None:
    """Refuse what would send the examples, or the key, to another place, or lose the body of the request."""
    location = response.headers.get("location")
    if not 300 <= response.status_code < 400 or not location:
        return
    asked = str(response.request.url)
    there = urlsplit(urljoin(asked, location))
    keeps_body = response.status_code in (307, 308)
    if keeps_body and there[:2] == urlsplit(asked)[:2]:
        return
    host = there.netloc.rpartition("@")[2]
    response.close()
    to = f"{there.scheme}://{host}{base_path(there.path)}"
    raise MovedError(f"answers {response.status_code} and sends on to {to}")


def _read_bounded(response: Any) -> None:
    """Read the body of a response, of which the client by itself bounds the time of each read alone.

    One byte more than may be is kept of what is too long.
    """
    import httpx2

    content = bytearray()
    for chunk in response.stream:
        content += chunk
        if time.monotonic() > response.request.extensions[_DEADLINE]:
            raise httpx2.ReadTimeout("the answer did not end in time", request=response.request)
        if len(content) > MOST_BYTES:
            break
    response.stream.close()
    response.stream = httpx2.ByteStream(bytes(content[: MOST_BYTES + 1]))


def _read_key() -> str:
    """The key in the environment, without the line's end that a mounted secret often has; empty where there is none."""
    given = os.environ.get(KEY_VARIABLE, "")
    key = given.strip()
    if given and not (key and key.isascii() and key.isprintable()):
        raise InputError(f"{KEY_VARIABLE} must hold a key of printable ASCII characters; unset it if there is none")
    return key
