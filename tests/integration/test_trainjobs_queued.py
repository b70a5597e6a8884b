"""Training on nodes that Kueue lets in later: queued for longer than it may take, admitted, and trained to its end."""

import time

import pytest

from tests.integration import queues
from tests.integration.trainings import Trainings
from tests.waiting import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

OPTIONS = ("--epochs=8", "--gradient-accumulation-steps=2")
# Of the job. It takes less when it runs, and waits for longer before.
DEADLINE_SECONDS = 120


def test_queued_training_is_let_in_when_the_quota_grows_and_trains_to_its_end(
    trainings: Trainings, queue: queues.Queue
) -> None:
    nodes = {"count": 2, "deadline_seconds": DEADLINE_SECONDS, "labels": {queues.LABEL: queue.name}}
    component = trainings.start(*OPTIONS, nodes=nodes)
    job = trainings.job_of(component)
    trainings.wait_for_line(component, f"queued by Kueue in {queue.name}")
    time.sleep(DEADLINE_SECONDS + 10)
    assert trainings.jobs()[job]["spec"]["suspend"]
    assert not trainings.nodes(job)
    queue.grant(cpu="4", memory="16Gi")
    wait_for(lambda: len(trainings.nodes(job)) == 2)
    assert trainings.cluster.wait_until_over(component), trainings.cluster.tail(component)
    log = trainings.cluster.log(component)
    # What the nodes say has no name of a task before it.
    assert log.index("queued by Kueue") < log.index("\ntrain: starts ") < log.index("updates=40")
    trainings.delete_job(job)


def test_training_that_kueue_takes_its_nodes_from_waits_and_goes_on_from_its_checkpoint(
    trainings: Trainings, queue: queues.Queue
) -> None:
    queue.grant(cpu="4", memory="16Gi")
    options = ("--epochs=150", *OPTIONS[1:], "--checkpoint-minutes=0.05")
    component = trainings.start(*options, nodes={"count": 2, "labels": {queues.LABEL: queue.name}})
    job = trainings.job_of(component)
    trainings.wait_for_line(component, "steps  loss")
    queued = f"queued by Kueue in {queue.name}"
    before = len(trainings.lines(component, queued))
    queue.hold()
    wait_for(lambda: not trainings.nodes(job) and len(trainings.lines(component, queued)) > before)
    queue.release()
    trainings.wait_for_line(component, "continues after step")
    assert trainings.cluster.wait_until_over(component), trainings.cluster.tail(component)
    assert not trainings.lines(component, "node 0: train:"), "a node's whole log is no reason for its end"
    assert list(trainings.jobs()) == [job]
    trainings.delete_job(job)


def test_training_that_runs_past_its_time_is_ended_and_says_so(trainings: Trainings) -> None:
    component = trainings.start("--epochs=3002", *OPTIONS[1:], nodes={"count": 2, "deadline_seconds": 30})
    job = trainings.job_of(component)
    assert not trainings.cluster.wait_until_over(component)
    assert "DeadlineExceeded" in trainings.cluster.tail(component).splitlines()[-1]
    trainings.delete_job(job)
