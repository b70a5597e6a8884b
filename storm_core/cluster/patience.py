"""Waiting for an API server that is away: nodes train on without it, so nothing is lost by waiting."""

import time
from collections.abc import Callable
from typing import TypeVar

from storm_core.cluster.api import AwayError
from storm_core.cluster.errors import ClusterError
from storm_core.heartbeat import in_words
from storm_core.progress import report

T = TypeVar("T")
_SECONDS_BETWEEN_ATTEMPTS = 3.0
# Longer than any restart or upgrade of a control plane. The training itself does not end while its follower waits.
_LONGEST_SECONDS = 3600.0


def patiently(ask: Callable[[], T]) -> T:
    """What `ask` returns, once the API server answers.

    Raises:
        ClusterError: it has not answered for an hour.
    """
    began, told = time.monotonic(), False
    while True:
        try:
            answer = ask()
        except AwayError as error:
            away = time.monotonic() - began
            if away > _LONGEST_SECONDS:
                raise ClusterError(f"the Kubernetes API has not answered for {in_words(away)} ({error})") from error
            if not told:
                report(f"the Kubernetes API does not answer ({error}); waits for it", "warning")
            told = True
            time.sleep(_SECONDS_BETWEEN_ATTEMPTS)
        else:
            if told:
                report(f"the Kubernetes API answers again, after {in_words(time.monotonic() - began)}")
            return answer
