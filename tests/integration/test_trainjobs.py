"""Training on two nodes by a TrainJob, from S3 to S3, whatever is taken away meanwhile.

The cluster has Kubeflow Trainer. Where `STORM_CLUSTER_TOOL` names what stops and starts a component of it, its API
server is restarted too.
"""

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.integration.conftest import TRAININGS, Servers, s3_client
from tests.integration.trainings import Trainings
from tests.waiting import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

CLUSTER_TOOL = os.environ.get("STORM_CLUSTER_TOOL", "")
# Long enough for all that is done to it, and a checkpoint every three seconds.
LONG = ("--epochs=300", "--gradient-accumulation-steps=2", "--checkpoint-minutes=0.05")
TWO = {"count": 2}


def keys(servers: Servers, part: str) -> list[str]:
    """What lies in the store under names that hold `part`."""
    listed = s3_client(servers).list_objects_v2(Bucket=TRAININGS).get("Contents", [])
    return [one["Key"] for one in listed if part in one["Key"]]


@pytest.fixture(scope="module")
def interrupted(trainings: Trainings) -> Iterator[tuple[str, str, str]]:
    """A training on two nodes whose pod, component and API server are taken away: first and second component, job."""
    first = trainings.start(*LONG, nodes=TWO)
    job = trainings.job_of(first)
    trainings.wait_for_line(first, "steps  loss")
    trainings.cluster.api.delete_namespaced_pod(
        trainings.nodes(job)["1"]["metadata"]["name"], trainings.cluster.namespace
    )
    trainings.wait_for_line(first, "continues after step")
    trainings.cluster.kill(first)
    second = trainings.start(*LONG, nodes=TWO)
    trainings.wait_for_line(second, f"follows TrainJob {job}")
    if CLUSTER_TOOL:
        subprocess.run([CLUSTER_TOOL, "stop", "kube-apiserver"], check=True)
        time.sleep(15)
        subprocess.run([CLUSTER_TOOL, "start", "kube-apiserver"], check=True)
        wait_for(lambda: trainings.lines_patiently(second, "the Kubernetes API answers again"))
    yield first, second, job
    trainings.delete_job(job)


def test_training_on_two_nodes_outlives_a_pod_its_component_and_the_api_server(
    trainings: Trainings, interrupted: tuple[str, str, str], servers: Servers
) -> None:
    _, second, job = interrupted
    assert trainings.cluster.wait_until_over(second), trainings.cluster.tail(second)
    assert list(trainings.jobs()) == [job]
    assert trainings.lines(second, "done in")
    # The model that was given, and the one that was trained.
    assert len({key.split("/")[2] for key in keys(servers, "team/model/")}) == 2


def test_component_that_comes_when_all_is_done_takes_the_result_from_the_store(
    trainings: Trainings, interrupted: tuple[str, str, str]
) -> None:
    again = trainings.start(*LONG, nodes=TWO)
    assert trainings.cluster.wait_until_over(again)
    assert trainings.lines(again, "reused an earlier result")
    assert list(trainings.jobs()) == [interrupted[2]]


def test_training_that_nobody_follows_ends_with_a_checkpoint_and_the_next_component_goes_on(
    trainings: Trainings, servers: Servers
) -> None:
    options = ("--epochs=3000", *LONG[1:])
    first = trainings.start(*options, nodes=TWO)
    job = trainings.job_of(first)
    trainings.wait_for_line(first, "steps  loss")
    trainings.cluster.kill(first)
    wait_for(lambda: trainings.jobs()[job].get("status", {}).get("conditions"), seconds=120)
    ended = trainings.nodes(job)["0"]["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["message"] == "nobody has followed the training for 30 s; its last checkpoint is in the store"
    assert keys(servers, "/complete")
    second = trainings.start(*options, nodes=TWO)
    trainings.wait_for_line(second, f"replaces TrainJob {job}")
    trainings.wait_for_line(second, "continues after step")
    trainings.cluster.kill(second)
    trainings.delete_job(job)


def test_training_goes_on_while_one_of_two_components_follows(trainings: Trainings) -> None:
    options = ("--epochs=3001", *LONG[1:])
    first, second = (trainings.start(*options, nodes=TWO) for _ in range(2))
    job = trainings.job_of(first)
    assert trainings.job_of(second) == job
    trainings.wait_for_line(second, "steps  loss")
    trainings.cluster.kill(first)
    time.sleep(45)  # More than the half minute after which a training ends that nobody follows.
    assert not trainings.jobs()[job].get("status", {}).get("conditions")
    trainings.cluster.kill(second)
    wait_for(lambda: trainings.jobs()[job].get("status", {}).get("conditions"), seconds=120)
    trainings.delete_job(job)
