"""Why a training does not begin or failed; documents of a real API server with Kubeflow Trainer 2.3 and Kueue 0.17."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from storm_core.cluster.reasons import ended_unfollowed, failure, node_failure, waits_for

RECORDED = json.loads(Path(__file__).with_name("recorded.json").read_text(encoding="utf-8"))


def recorded(name: str) -> tuple[Any, Any, Any]:
    case = copy.deepcopy(RECORDED[name])
    return case["job"], case["pods"], case["events"]


def ended(code: int, message: str, reason: str = "Error") -> Any:
    """The recorded pod, ended in another way."""
    (pod,) = recorded("memory")[1]
    pod["status"]["containerStatuses"][0]["state"] = {
        "terminated": {"exitCode": code, "reason": reason, "message": message}
    }
    return pod


@pytest.mark.parametrize(
    ("case", "kind", "text"),
    [
        ("unschedulable", "unschedulable", "no node takes its pods: 0/1 nodes are available: 1 Insufficient cpu."),
        ("image", "image", 'its image cannot be had: ImagePullBackOff: Back-off pulling image "storm.test/nothing:1"'),
        ("queued", "queued", "queued by Kueue in team: couldn't assign flavors to pod set node: insufficient quota"),
        ("quota", "quota", "the namespace's quota refuses its pods: Error creating: pods"),
        ("invalid", "configuration", 'the cluster refuses its pods: job "storm-train-44ed9696a92f168c9bc0-node-0"'),
        ("quota_wants_requests", "quota", "the namespace's quota refuses its pods: Error creating: pods"),
    ],
)
def test_what_is_waited_for_is_named(case: str, kind: str, text: str) -> None:
    waiting = waits_for(*recorded(case))
    assert waiting
    assert (waiting.kind, waiting.text[: len(text)]) == (kind, text)
    assert len(waiting.text) <= 300


def test_only_what_does_not_heal_by_itself_is_hopeless() -> None:
    hopeless = {case for case in RECORDED if (waiting := waits_for(*recorded(case))) and waiting.hopeless}
    assert hopeless == {"image", "invalid"}


def test_job_whose_pods_run_waits_for_nothing() -> None:
    assert waits_for(*recorded("memory")) is None


def test_job_suspended_by_hand_is_not_called_queued_by_kueue() -> None:
    job, pods, events = recorded("queued")
    del job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"]
    waiting = waits_for(job, pods, events)
    assert waiting
    assert waiting.text == "the TrainJob is suspended"


def test_node_killed_for_memory_names_its_limit() -> None:
    (pod,) = recorded("memory")[1]
    assert node_failure(pod) == "node 0: killed at its memory limit (250Mi); give training_nodes a larger memory_limit"


def test_job_that_nobody_followed_is_told_from_others() -> None:
    job, pods, _ = recorded("unfollowed")
    assert failure(job, pods) == (
        "node 0: nobody has followed the training for 1 min 0 s; its last checkpoint is in the store"
    )
    assert ended_unfollowed(pods)
    assert not ended_unfollowed(recorded("memory")[1])


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:3690, ncclSystemError",
            "the nodes' GPUs do not reach each other (NCCL): torch.distributed.DistBackendError: NCCL error",
        ),
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
            "the GPU's memory is too small; lower batch_size or max_length: torch.OutOfMemoryError",
        ),
        ("RuntimeError: [gloo/tcp/pair.cc] Connection closed by peer", "the connection to another node broke"),
        ("OSError: [Errno 28] No space left on device", "the node's disk is full"),
        ("Traceback (most recent call last):\nKeyError: 'x'\ntrain: ends", "ended with code 1: KeyError: 'x'"),
        ("", "ended with code 1"),
    ],
)
def test_failed_node_is_explained_by_its_last_words(log: str, reason: str) -> None:
    found = node_failure(ended(1, log))
    assert found
    assert found.startswith(f"node 0: {reason}")


def test_cause_is_named_before_the_broken_connection_that_it_made() -> None:
    job, _, _ = recorded("unfollowed")
    broken = ended(1, "RuntimeError: Connection closed by peer [10.244.0.7]:1234")
    assert "memory limit" in failure(job, [broken, ended(137, "", "OOMKilled")])


def test_deadline_is_named_though_its_pods_are_gone() -> None:
    job, _, _ = recorded("unfollowed")
    job["status"]["conditions"][0] |= {"reason": "DeadlineExceeded", "message": "TrainJob exceeded its deadline"}
    assert failure(job, []) == "DeadlineExceeded: TrainJob exceeded its deadline"
