"""Following a TrainJob to its end: its log passed on, what it waits for said."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from storm_core.cluster.api import Api, AwayError, Document
from storm_core.cluster.claiming import COMPLETE, FAILED, has_ended
from storm_core.cluster.errors import ClusterError
from storm_core.cluster.logs import FirstRankLog
from storm_core.cluster.patience import patiently
from storm_core.cluster.reasons import ATTEMPT, Waiting, ended_unfollowed, failure, node_failure, waits_for
from storm_core.heartbeat import Activity, in_words
from storm_core.progress import report

# JobSet, by which Trainer makes the pods, gives them this label.
JOB_LABEL = "jobset.sigs.k8s.io/jobset-name"
_SECONDS_BETWEEN_LOOKS = 3.0
# A registry may be away for a while; an image that is not there after this will not come.
_HOPELESS_SECONDS = 600.0
_SECONDS_BETWEEN_LINES = 15.0
# Of a job that ran before we came.
_LOG_SECONDS_BEFORE = 60.0


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a job ended: complete, or why not; `unfollowed` where nobody had followed it for too long."""

    complete: bool
    reason: str = ""
    unfollowed: bool = False


def follow(api: Api, job: Document, current: Activity) -> Ending:
    """Wait for the end of the job; `current` shows what it is at.

    Raises:
        ClusterError: the job was deleted, or waits for what will not come; then it is deleted.
    """
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    watch = _Watch(api, current, ran_before="status" in job)
    while True:
        found = patiently(lambda: api.job(name))
        if found is None:
            raise ClusterError(f"TrainJob {name} was deleted; run the same again to go on from its last checkpoint")
        if found["metadata"]["uid"] != uid:
            report(f"train: TrainJob {name} was replaced by another attempt, which is followed now")
            uid = found["metadata"]["uid"]
        pods = patiently(lambda: api.pods(f"{JOB_LABEL}={name}"))
        watch.look(found, pods)
        if has_ended(found, COMPLETE):
            return Ending(complete=True)
        if has_ended(found, FAILED):
            reason = failure(found, pods)
            return Ending(complete=False, reason=reason, unfollowed=ended_unfollowed(pods))
        if hopeless := watch.hopeless():
            patiently(lambda uid=uid: api.delete_job(name, uid))  # type: ignore[misc]
            raise ClusterError(f"TrainJob {name} cannot begin: {hopeless}")
        time.sleep(_SECONDS_BETWEEN_LOOKS)


class _Watch:
    """What was seen of a job so far, and what was said of it."""

    def __init__(self, api: Api, current: Activity, *, ran_before: bool) -> None:
        self._api = api
        self._current = current
        self._log = FirstRankLog(api, _LOG_SECONDS_BEFORE if ran_before else None)
        self._waiting: Waiting | None = None
        self._since = time.monotonic()
        self._said = 0.0
        self._text = ""
        self._failed: set[str] = set()
        self._attempt = "0"

    def look(self, job: Document, pods: Sequence[Document]) -> None:
        """Pass on what is new."""
        self._say_attempts(pods)
        self._log.pass_on(pods)
        waiting = waits_for(job, pods, self._events(job, pods))
        if waiting is None or self._waiting is None or waiting.kind != self._waiting.kind:
            self._since = time.monotonic()
            self._said = 0.0
        self._waiting = waiting
        self._current.state = waiting.text if waiting else ""
        self._say(waiting)

    def hopeless(self) -> str | None:
        """What is waited for in vain, if so."""
        waited = time.monotonic() - self._since
        if self._waiting and self._waiting.hopeless and waited > _HOPELESS_SECONDS:
            return f"{self._waiting.text}, for {in_words(waited)}"
        return None

    def _events(self, job: Document, pods: Sequence[Document]) -> list[Document]:
        """Events, where nothing else tells what is waited for."""
        if pods and not job["spec"].get("suspend"):
            return []
        try:
            return self._api.events()
        except AwayError:
            return []

    def _say(self, waiting: Waiting | None) -> None:
        """Say what is waited for, and what is new about it; once a minute the heartbeat says it again."""
        text, now = waiting.text if waiting else "", time.monotonic()
        if waiting and text != self._text and (not self._said or now - self._said > _SECONDS_BETWEEN_LINES):
            report(f"train: {text}", "info" if waiting.kind == "start" else "warning")
            self._said, self._text = now, text

    def _say_attempts(self, pods: Sequence[Document]) -> None:
        for pod in pods:
            uid, reason = pod["metadata"]["uid"], node_failure(pod)
            if reason and uid not in self._failed:
                self._failed.add(uid)
                report(f"train: {reason}", "warning")
        attempt = max((pod["metadata"].get("labels", {}).get(ATTEMPT, "0") for pod in pods), key=int, default="0")
        if int(attempt) > int(self._attempt):
            self._attempt = attempt
            report(f"train: all nodes start again from the last checkpoint (start {int(attempt) + 1})", "warning")
