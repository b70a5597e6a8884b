"""Training on nodes that cannot begin: its component says why, within a minute."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration import queues
from tests.integration.trainings import Trainings

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

MINUTE = 60.0
SMALL = {"cpu": "300m", "memory": "200Mi"}


def begin(trainings: Trainings, epochs: str, **nodes: Any) -> str:
    """A component whose training cannot begin."""
    return trainings.start(f"--epochs={epochs}", nodes={"count": 1, **nodes})


def what_it_says(trainings: Trainings, component: str, part: str) -> str:
    """The line that names the reason, which came within a minute of the job; component and job are removed."""
    job = trainings.job_of(component)
    made = time.monotonic()
    try:
        line = trainings.wait_for_line(component, part)
        assert time.monotonic() - made < MINUTE
        return line
    finally:
        trainings.cluster.kill(component)
        trainings.delete_job(job)


def test_job_that_no_node_takes_says_so(trainings: Trainings) -> None:
    component = begin(trainings, "2", resources={"requests": {"cpu": "400"}})
    assert "Insufficient cpu" in what_it_says(trainings, component, "no node takes its pods")


def test_job_whose_image_is_not_there_says_so(trainings: Trainings) -> None:
    component = begin(trainings, "3", image="storm.test/not-there:1")
    assert "storm.test/not-there:1" in what_it_says(trainings, component, "its image cannot be had")


def test_job_that_outgrows_its_memory_says_so(trainings: Trainings) -> None:
    component = begin(trainings, "4", resources={"requests": SMALL, "limits": {"memory": "250Mi"}})
    assert "larger memory_limit" in what_it_says(trainings, component, "killed at its memory limit (250Mi)")


def test_job_whose_nodes_are_invalid_says_so(trainings: Trainings) -> None:
    component = begin(trainings, "7", resources={"requests": SMALL, "limits": {"memory": "100Mi"}})
    assert "must be less than or equal to memory limit" in what_it_says(trainings, component, "refuses its pods")


@pytest.fixture
def quota(trainings: Trainings) -> Iterator[None]:
    """A quota that holds the component and no node."""
    place = trainings.cluster.namespace
    spec = {"hard": {"requests.memory": "9Gi"}}
    trainings.cluster.api.create_namespaced_resource_quota(place, {"metadata": {"name": "tests"}, "spec": spec})
    yield
    trainings.cluster.api.delete_namespaced_resource_quota("tests", place)


def test_job_beyond_the_quota_says_so(trainings: Trainings, quota: None) -> None:
    component = begin(trainings, "5", resources={"requests": {"memory": "10Gi", "cpu": "100m"}})
    assert "exceeded quota: tests" in what_it_says(trainings, component, "the namespace's quota refuses its pods")


def test_queued_job_says_so_and_why(trainings: Trainings, queue: queues.Queue) -> None:
    component = begin(trainings, "6", labels={queues.LABEL: queue.name})
    line = what_it_says(trainings, component, "insufficient quota for")
    assert f"queued by Kueue in {queue.name}" in line
