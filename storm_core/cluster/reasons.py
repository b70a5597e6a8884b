"""Why a training does not begin, and why it failed, in words: read off the job, its pods and the namespace's events."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storm_core.cluster.api import Document
from storm_core.cluster.claiming import COMPLETE, FAILED, condition_of
from storm_core.cluster.document import KUEUE, NODE
from storm_core.cluster.exit_codes import FINAL, UNFOLLOWED
from storm_core.stopping import EXIT_CODES

NODE_INDEX = "batch.kubernetes.io/job-completion-index"
ATTEMPT = "jobset.sigs.k8s.io/restart-attempt"
_IMAGE = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError")
_CONFIG = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
# Of events about what makes pods: Kubernetes' Job, JobSet and Trainer.
_NOT_MADE = ("FailedCreate", "JobCreationFailed", "HeadlessServiceCreationFailed", "TrainJobResourcesCreationFailed")
# What a process writes before it ends, and what it means.
_SIGNS = {
    r"NCCL|nccl\w+Error": "the nodes' GPUs do not reach each other (NCCL)",
    r"CUDA out of memory|OutOfMemoryError": "the GPU's memory is too small; lower batch_size or max_length",
    r"Gloo|gloo|Connection (reset|closed) by peer": "the connection to another node broke",
    r"No space left on device": "the node's disk is full; give training_nodes a larger scratch",
}
_MOST_CHARACTERS = 300


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What a job waits for.

    Attributes:
        kind: a word for it: queued, quota, unschedulable, image, configuration or start.
        text: for a person.
        hopeless: whether waiting alone will hardly help.
    """

    kind: str
    text: str
    hopeless: bool = False


def waits_for(job: Document, pods: Sequence[Document], events: Sequence[Document]) -> Waiting | None:
    """What keeps the job from training; None where its nodes run, or where it is over."""
    if condition_of(job, COMPLETE) or condition_of(job, FAILED):
        return None
    if job["spec"].get("suspend"):
        return _queued(job, events)
    if not pods:
        return _without_pods(job["metadata"]["name"], events)
    return next(filter(None, map(_of_pod, pods)), None)


def failure(job: Document, pods: Sequence[Document]) -> str:
    """Why the job failed."""
    ends = [text for pod in pods if (text := node_failure(pod))]
    condition = condition_of(job, FAILED) or {}
    if condition.get("reason") == "DeadlineExceeded" or not ends:
        return _clip(f"{condition.get('reason', FAILED)}: {condition.get('message', 'the job says no more')}")
    # What broke a connection is the cause, not the connection.
    return next((text for text in ends if "connection to another node" not in text), ends[0])


def node_failure(pod: Document) -> str | None:
    """Why the pod failed, where it did."""
    node = f"node {pod['metadata'].get('labels', {}).get(NODE_INDEX, '?')}"
    status = pod.get("status", {})
    if status.get("reason") in ("Evicted", "DeadlineExceeded", "NodeLost", "Preempting", "Shutdown", "Terminated"):
        return _clip(f"{node}: {status['reason']}: {status.get('message', '')}")
    ended = _container(pod).get("state", {}).get("terminated")
    if not ended or ended["exitCode"] == 0:
        return None
    if ended.get("reason") == "OOMKilled":
        return f"{node}: killed at its memory limit ({_memory_limit(pod)}); give training_nodes a larger memory_limit"
    return _clip(f"{node}: {_in_words(ended)}")


def ended_unfollowed(pods: Sequence[Document]) -> bool:
    """Whether a node ended because nobody followed."""
    return any(_container(pod).get("state", {}).get("terminated", {}).get("exitCode") == UNFOLLOWED for pod in pods)


def _queued(job: Document, events: Sequence[Document]) -> Waiting:
    metadata = job["metadata"]
    queue = metadata.get("labels", {}).get(f"{KUEUE}queue-name")
    if queue is None:
        return Waiting(kind="queued", text="the TrainJob is suspended")
    about = _messages(events, "Workload", f"trainjob-{metadata['name']}-")
    return Waiting(kind="queued", text=_clip(f"queued by Kueue in {queue}{_after(about)}"))


def _without_pods(name: str, events: Sequence[Document]) -> Waiting:
    for kind in ("Job", "JobSet", "TrainJob"):
        if found := _messages(events, kind, name, reasons=_NOT_MADE):
            text = found[-1]
            if "quota" in text:
                return Waiting(kind="quota", text=_clip(f"the namespace's quota refuses its pods: {text}"))
            return Waiting(kind="configuration", text=_clip(f"the cluster refuses its pods: {text}"), hopeless=True)
    return Waiting(kind="start", text="its pods are being made")


def _of_pod(pod: Document) -> Waiting | None:
    status = pod.get("status", {})
    if status.get("phase") not in (None, "Pending"):
        return None
    for one in status.get("conditions", []):
        if one["type"] == "PodScheduled" and one["status"] == "False":
            return Waiting(kind="unschedulable", text=_clip(f"no node takes its pods: {one.get('message', '')}"))
    waiting = _container(pod).get("state", {}).get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _IMAGE:
        return Waiting(kind="image", text=_clip(f"its image cannot be had: {reason}: {message}"), hopeless=True)
    if reason in _CONFIG:
        return Waiting(kind="configuration", text=_clip(f"{reason}: {message}"), hopeless=True)
    return Waiting(kind="start", text="its pods start")


def _in_words(ended: Mapping[str, Any]) -> str:
    code, said = ended["exitCode"], ended.get("message", "").strip()
    if code in (FINAL, UNFOLLOWED, *EXIT_CODES) and said:
        return str(said)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for sign, meaning in _SIGNS.items():
        if line := next((line for line in reversed(lines) if re.search(sign, line)), None):
            return f"{meaning}: {line}"
    last = next((line for line in reversed(lines) if re.match(r"[\w.]*(Error|Exception)\b", line)), None)
    return f"ended with code {code}{_after([last or lines[-1]] if lines else [])}"


def _container(pod: Document) -> Mapping[str, Any]:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return next((one for one in statuses if one["name"] == NODE), {})


def _memory_limit(pod: Document) -> str:
    container = next(one for one in pod["spec"]["containers"] if one["name"] == NODE)
    return str(container.get("resources", {}).get("limits", {}).get("memory", "the node's"))


def _messages(events: Sequence[Document], kind: str, name: str, reasons: Sequence[str] | None = None) -> list[str]:
    """Messages about objects of the kind whose names begin so, oldest first."""

    def about() -> Iterator[Document]:
        for event in events:
            thing = event.get("involvedObject", {})
            if thing.get("kind") == kind and thing.get("name", "").startswith(name):
                yield event

    wanted = [one for one in about() if reasons is None or one.get("reason") in reasons]
    return [one.get("message", "") for one in sorted(wanted, key=_time)]


def _time(event: Document) -> str:
    return event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or ""


def _after(messages: Sequence[str]) -> str:
    return f": {messages[-1]}" if messages else ""


def _clip(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _MOST_CHARACTERS else plain[: _MOST_CHARACTERS - 3] + "..."
