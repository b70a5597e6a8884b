"""What rank 0 of a training writes, line by line as it comes.

The log is asked for again and again rather than held open: a connection would break with the API server, with the
kubelet and with a rotated file.
"""

import contextlib
import json
import math
import time
from collections.abc import Sequence

from storm_core.cluster.api import Api, AwayError, Document
from storm_core.cluster.document import NODE
from storm_core.cluster.reasons import NODE_INDEX
from storm_core.progress import report

# Clocks of this machine and of a node differ; what was passed on already is known by its time.
_OVERLAP_SECONDS = 15.0


class FirstRankLog:
    """Passes on what the pod of node 0 writes, attempt after attempt."""

    def __init__(self, api: Api, since_seconds: float | None) -> None:
        """With `since_seconds` what is older is left out of the first look."""
        self._api = api
        self._pod = ""
        self._last = ""
        self._looked = None if since_seconds is None else time.monotonic() - since_seconds

    def pass_on(self, pods: Sequence[Document]) -> None:
        """Write the lines that are new."""
        pod = _first(pods)
        if pod is None:
            return
        uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
        if uid != self._pod:
            self._looked = None if self._pod else self._looked
            self._pod, self._last = uid, ""
        with contextlib.suppress(AwayError):  # Asked for again at the next look.
            began = time.monotonic()
            content = self._api.log(name, NODE, self._since(began))
            self._looked = began
            self._write(content)

    def _since(self, now: float) -> int | None:
        return None if self._looked is None else math.ceil(now - self._looked + _OVERLAP_SECONDS)

    def _write(self, content: str) -> None:
        for line in content.splitlines():
            written, _, text = line.partition(" ")
            if written > self._last:
                self._last = written
                if text.strip():
                    report(*message_of(text))


def message_of(line: str) -> tuple[str, str]:
    """Message and level of a line; of a JSON line of ours what it says."""
    with contextlib.suppress(ValueError, RecursionError):
        event = json.loads(line) if line.startswith("{") else None
        if isinstance(event, dict) and isinstance(event.get("message"), str):
            return event["message"], str(event.get("level", "info"))
    return line, "info"


def _first(pods: Sequence[Document]) -> Document | None:
    firsts = [pod for pod in pods if pod["metadata"].get("labels", {}).get(NODE_INDEX) == "0"]
    return max(firsts, key=lambda pod: pod["metadata"]["creationTimestamp"], default=None)
