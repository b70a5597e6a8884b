"""Training whose pod is killed, and whose store is away: it goes on from its last checkpoint, to the same model."""

import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import boto3
import pytest
from mlflow import MlflowClient

from tests.integration.cluster import Cluster
from tests.integration.conftest import BUCKET, SECRETS, Finished, Servers, s3_secret, servers_image, storm_artifact
from tests.integration.doors import Door
from tests.integration.replays import Replay
from tests.waiting import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

UPDATES, UPDATES_AN_EPOCH = 480, 4
INTERVAL_SECONDS = 3
# What a checkpoint of the tiny model takes to be written, at most, where two cores are shared by all that runs.
WRITING_SECONDS = 5
OPTIONS = (f"--epochs={UPDATES // UPDATES_AN_EPOCH}", f"--checkpoint-minutes={INTERVAL_SECONDS / 60}")
CONTINUES = re.compile(rf"continues after step (\d+) of {UPDATES}")
MINUTE = 60


@dataclass
class Training:
    """Attempts of one training, each a pod."""

    replay: Replay
    pod: str = ""
    run: str = ""

    def start(self) -> None:
        """Begin an attempt, and wait for its first update."""
        earlier = self._newest_run()
        self.pod = self.replay.start()
        self.run = str(wait_for(lambda: self._has_begun(earlier)))

    def updates(self) -> list[tuple[int, float]]:
        """Number and time in seconds of each update that the attempt has made so far."""
        return [(one.step, one.timestamp / 1000) for one in MlflowClient().get_metric_history(self.run, "loss")]

    def wait_for_update(self, step: int) -> None:
        """Wait until the attempt has made this update."""
        wait_for(lambda: self.updates()[-1][0] >= step)

    def continued_from(self) -> int:
        """The update after which the attempt went on; 0 where it began anew."""
        found = CONTINUES.search(self.replay.log(self.pod))
        return int(found[1]) if found else 0

    def model(self) -> str:
        """Wait for the attempt to end well; the digest of the tuned model."""
        return str(self.replay.outputs(self.pod)["tuned_model"]["digest"])

    def _has_begun(self, earlier: str) -> str:
        self.run = self._newest_run()
        return self.run if self.run != earlier and self.updates() else ""

    def _newest_run(self) -> str:
        tracking = MlflowClient()
        experiments = [one.experiment_id for one in tracking.search_experiments()]
        found = tracking.search_runs(
            experiments, "attributes.run_name = 'train'", order_by=["attributes.start_time DESC"]
        )
        return str(found[0].info.run_id)


@pytest.fixture(scope="module")
def let_in(servers: Servers) -> Iterator[None]:
    """The environment of `as_user`, for a fixture of the module."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in servers.environment.items():
            patch.setenv(name, value)
        yield


def training(finished: Finished, store: str, **changes: Any) -> Training:
    """The run's training, once more and longer, in a store of its own."""
    return Training(
        Replay(walk=finished.walk, task="train", store=f"s3://{BUCKET}/{store}", options=OPTIONS, **changes)
    )


@dataclass(frozen=True)
class Outage:
    """What two trainings made of a store that was away: for a minute, and for longer than a stage waits.

    Attributes:
        model: the digest of the model that is trained without interruption.
    """

    model: str
    waited: Training
    waited_model: str
    error: str
    again: Training
    again_model: str


@pytest.fixture(scope="module")
def outage(finished: Finished, cluster: Cluster, servers: Servers, let_in: None) -> Outage:
    """Both stores are taken away at once; one comes back after a minute, the other when its training has given up."""
    doors = {name: Door(cluster, f"s3-{name}", "s3", 8333, servers_image()) for name in ("minute", "longer")}
    trainings = {name: _behind(door, finished, servers, name) for name, door in doors.items()}
    for name, door in doors.items():
        wait_for(partial(_has_checkpoint, servers, name))
        door.close()
    whole = training(finished, "whole")
    whole.pod = whole.replay.start()
    time.sleep(MINUTE)
    doors["minute"].open()
    waited_model = trainings["minute"].model()
    error = trainings["longer"].replay.error(trainings["longer"].pod)
    doors["longer"].open()
    again = Training(trainings["longer"].replay, pod=trainings["longer"].replay.start())
    return Outage(whole.model(), trainings["minute"], waited_model, error, again, again.model())


def _behind(door: Door, finished: Finished, servers: Servers, store: str) -> Training:
    """A training that has begun, and that reaches its store by the door."""
    secret = f"storm-s3-{store}"
    finished.walk.cluster.add_secret(secret, s3_secret(servers, f"http://{door.address}"))
    behind = training(finished, store, secrets={SECRETS["s3"]: secret})
    behind.pod = behind.replay.start()
    return behind


def _has_checkpoint(servers: Servers, store: str) -> bool:
    listed = boto3.client("s3", endpoint_url=servers.s3).list_objects_v2(Bucket=BUCKET, Prefix=f"{store}/")
    return any("/complete" in one["Key"] for one in listed.get("Contents", []))


def test_training_waits_for_a_store_that_is_away_for_a_minute(outage: Outage) -> None:
    log = outage.waited.replay.log(outage.waited.pod)
    assert "the S3 server at http://s3-minute:8333 does not answer; it is tried for" in log
    assert outage.waited_model == outage.model


def test_training_whose_store_stays_away_says_so_and_the_retry_continues(outage: Outage) -> None:
    assert re.fullmatch(
        r"train: error: s3://\S+: the S3 server at http://s3-longer:8333 cannot be used: .+", outage.error
    )
    assert outage.again.continued_from() > 0
    assert outage.again_model == outage.model


def test_training_killed_three_times_loses_an_interval_each_and_ends_with_the_same_model(
    finished: Finished, as_user: Servers, outage: Outage
) -> None:
    """Garbage is collected right before each kill, too: what a run within its lease needs is none."""
    killed = training(finished, "killed")
    killed.start()
    for step in sorted(random.sample(range(1, UPDATES * 3 // 4), 3)):
        killed.wait_for_update(step)
        storm_artifact(as_user, "gc", "--keep-days", "0", "--delete", store=killed.replay.store)
        assert finished.walk.cluster.pods()[killed.pod]["status"]["phase"] == "Running", (
            "it had ended before it was killed"
        )
        finished.walk.cluster.kill(killed.pod)
        attempt = Training(killed.replay, run=killed.run)
        killed.start()
        made, start = attempt.updates(), killed.continued_from()
        kept = [seconds for number, seconds in made if number <= start] or [made[0][1]]
        assert made[-1][1] - kept[-1] <= INTERVAL_SECONDS + WRITING_SECONDS, f"killed after {made[-1]}, went on {start}"
    assert killed.continued_from() > 0
    assert killed.model() == outage.model
