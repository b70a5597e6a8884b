"""A Kubeflow Pipelines server, by kfp's own client; what goes wrong is said in a line."""

import contextlib
import http.client
import json
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import kfp
import kfp_server_api
import urllib3

from pipelines.local import quiet_kfp
from pipelines.submission.credentials import COOKIES_VARIABLE, TOKEN_VARIABLE, authentication
from storm_core.errors import InputError

ENDPOINT_VARIABLE = "KF_PIPELINES_ENDPOINT"
_UI_VARIABLE = "KF_PIPELINES_UI_ENDPOINT"
# Seconds to connect, and for the next piece of an answer.
ANSWER_SECONDS = (10.0, 60.0)
TESTED_RELEASE = "2.17"
_MISSING, _CONFLICT = 404, 409


class UnreachableError(InputError):
    """The server did not answer, or said that it cannot now; it may do so later."""


class MissingError(InputError):
    """There is none of this name."""


class TakenError(InputError):
    """There is one of this name already."""


class Client(kfp.Client):
    """kfp's client, which asks for the server's health once; its own method tries for 25 s and logs tracebacks."""

    def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:
        """What the server says of itself."""
        return self._healthz_api.healthz_service_get_healthz(_request_timeout=ANSWER_SECONDS)


class Server:
    """A server that answered.

    Attributes:
        client: kfp's own, with the generated interfaces.
        namespace: where its users' runs are; None of a server without users.
        version: its release, as it says; "" where it says none.
    """

    def __init__(self, host: str | None, namespace: str | None = None) -> None:
        """Reach the server at `host`, else where kfp's client looks.

        Raises:
            InputError: it cannot be reached, the credentials cannot be used or are refused, or it wants a namespace.
        """
        self.host = host or os.environ.get(ENDPOINT_VARIABLE)
        if "@" in (self.host or "").rpartition("://")[2].partition("/")[0]:
            raise InputError(
                f"the address of KFP must hold no user or password; set {TOKEN_VARIABLE} or {COOKIES_VARIABLE}"
            )
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # It warns of every attempt.
        with plain_errors(self._shown()), quiet_kfp():
            self.client = Client(host=self.host, **authentication())
        health = self._health()
        # The server of KFP's pages, which passes all else on to the API, answers this by itself and in other words.
        self.version = str(health.get("tag_name") or health.get("apiServerTagName", ""))
        self.namespace = namespace if health.get("multi_user") else None
        if health.get("multi_user") and not namespace:
            raise InputError(f"{self._shown()} has a namespace for each user; say with --namespace which")

    def call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """What a method of a generated interface returns.

        Raises:
            UnreachableError: no answer came.
            MissingError: there is none of this name.
            TakenError: there is one of this name already.
            InputError: the server refuses; it says why.
        """
        with plain_errors(self._shown()), quiet_kfp():
            return function(*arguments, _request_timeout=ANSWER_SECONDS, **named)

    def page(self, place: str) -> str:
        """The address of a page of the UI."""
        address = os.environ.get(_UI_VARIABLE) or self.host or "<the KFP UI>"
        return f"{address.rstrip('/')}/#/{place}"

    def warning(self) -> str | None:
        """A line where the server is of a release that was not tested."""
        release = self.version.removeprefix("v")
        if release == TESTED_RELEASE or release.startswith(f"{TESTED_RELEASE}."):
            return None
        said = f"says it is {release}" if release not in ("", "unknown") else "does not say its release"
        return f"{self._shown()} {said}; tested is {TESTED_RELEASE}, with kfp {kfp.__version__}"

    def _health(self) -> dict[str, Any]:
        # The generated class leaves out the release.
        answer = self.call(self.client.healthzs.healthz_service_get_healthz, _preload_content=False)
        try:
            health = json.loads(answer.data)
        except (ValueError, RecursionError):
            health = None
        if not isinstance(health, dict):
            raise InputError(f"{self._shown()} answers with a page, not as KFP's API; is it behind a login?")
        return health

    def _shown(self) -> str:
        return self.host or f"Kubeflow Pipelines (without --host and {ENDPOINT_VARIABLE})"


@contextlib.contextmanager
def plain_errors(host: str) -> Iterator[None]:
    """Turn what the client raises into one line."""
    try:
        yield
    except kfp_server_api.ApiException as error:
        raise _refusal(host, error) from None
    except (urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
        raise UnreachableError(f"{host} does not answer: {_cause(error)}") from None


def _refusal(host: str, error: kfp_server_api.ApiException) -> InputError:
    status = error.status or 0
    said = _message(error)
    if status == 401:
        return InputError(f"{host} knows no such user (HTTP 401){said}; set {TOKEN_VARIABLE} or {COOKIES_VARIABLE}")
    if status == 403:
        return InputError(f"{host} does not allow it (HTTP 403){said}; check the user's rights in the namespace")
    if status == _CONFLICT:
        return TakenError(f"{host} has one of this name already{said}")
    if status in (0, 408, 429) or status >= 500:
        return UnreachableError(f"{host} cannot do it now (HTTP {status}){said}")
    return (MissingError if status == _MISSING else InputError)(f"{host} refuses (HTTP {status}){said}")


def _message(error: kfp_server_api.ApiException) -> str:
    """What KFP says, after a colon."""
    try:
        body = json.loads(_text(error))
    except (ValueError, RecursionError):
        return ""
    said = body.get("message") or body.get("error_message") or body.get("error") if isinstance(body, dict) else None
    return f": {' '.join(str(said).split())}" if said else ""


def _text(error: kfp_server_api.ApiException) -> str:
    body = error.body or b""
    return body.decode(errors="replace") if isinstance(body, bytes) else str(body)


def _cause(error: Exception) -> str:
    """The last part of urllib3's account, without addresses of objects."""
    reason = getattr(error, "reason", None) or error
    return str(reason).rpartition(">: ")[2] or str(reason)
