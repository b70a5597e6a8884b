"""A stage that cannot work on a cluster: what a person reads of it, and that the next attempt is a good one."""

import re

import pytest

from tests.integration.cluster import Cluster
from tests.integration.conftest import BUCKET, MLFLOW_USER, SECRETS, Finished, Servers, s3_secret
from tests.integration.replays import Replay

pytestmark = pytest.mark.cluster

# Less than any stage takes to begin.
LITTLE = {"resourceMemoryRequest": "64Mi", "resourceMemoryLimit": "64Mi"}


def merge(finished: Finished, **changes: object) -> Replay:
    """The run's merge once more, in a store of its own."""
    return Replay(walk=finished.walk, task="merge", store=f"s3://{BUCKET}/wrong", **changes)  # type: ignore[arg-type]


def waits_in_vain(replay: Replay) -> str:
    """Why a pod of the task cannot start; the pod is removed, as it holds what it asked for."""
    pod = replay.start()
    with pytest.raises(AssertionError) as reason:
        replay.cluster.wait_until_over(pod)
    replay.cluster.kill(pod)
    return str(reason.value)


def merged(finished: Finished) -> str:
    """The digest of the merged model of the run."""
    (ended,) = (ended for ended in finished.walk.ended if ended.task == "merge")
    (artifact,) = ended.executor_output["artifacts"]["merged_model"]["artifacts"]
    return str(artifact["metadata"]["digest"])


def test_secret_without_a_key_is_named_with_the_key(finished: Finished, cluster: Cluster) -> None:
    cluster.add_secret("storm-s3-keyless", {"AWS_ACCESS_KEY_ID": "storm"})
    replay = merge(finished, secrets={SECRETS["s3"]: "storm-s3-keyless"})
    reason = r"CreateContainerConfigError: couldn't find key AWS_SECRET_ACCESS_KEY in Secret \S+/storm-s3-keyless"
    assert re.search(reason, waits_in_vain(replay))


def test_secret_that_is_not_there_is_named(finished: Finished) -> None:
    replay = merge(finished, secrets={SECRETS["s3"]: "storm-s3-absent"})
    assert 'CreateContainerConfigError: secret "storm-s3-absent" not found' in waits_in_vain(replay)


def test_image_that_is_not_there_is_named(finished: Finished) -> None:
    image = f"{finished.walk.executors['merge'].container['image']}-never-built"
    reason = waits_in_vain(merge(finished, image=image))
    assert re.search(f"(ErrImagePull|ImagePullBackOff): .*{re.escape(image)}", reason)


def test_wrong_key_of_the_store_is_one_line_that_says_what_to_check(
    finished: Finished, cluster: Cluster, servers: Servers
) -> None:
    wrong = {**s3_secret(servers, "http://s3:8333"), "AWS_SECRET_ACCESS_KEY": "wrong"}
    cluster.add_secret("storm-s3-wrong", wrong)
    replay = merge(finished, secrets={SECRETS["s3"]: "storm-s3-wrong"})
    line = replay.error(replay.start())
    assert re.fullmatch(
        r"merge: error: http://s3:8333 denies access to s3://\S+ \(\w+\): .*check AWS_ACCESS_KEY_ID.*", line
    )


def test_wrong_password_of_mlflow_ends_in_no_traceback(finished: Finished, cluster: Cluster) -> None:
    wrong = {"MLFLOW_TRACKING_USERNAME": MLFLOW_USER, "MLFLOW_TRACKING_PASSWORD": "wrong"}
    cluster.add_secret("storm-mlflow-wrong", wrong)
    replay = merge(finished, secrets={SECRETS["mlflow"]: "storm-mlflow-wrong"})
    pod = replay.start()
    cluster.wait_until_over(pod)
    log = replay.log(pod)
    assert "MLflow" in log
    assert "Traceback" not in log


def test_stage_killed_for_its_memory_is_told_by_its_pod_and_with_more_memory_ends_well(
    finished: Finished, cluster: Cluster
) -> None:
    pod = merge(finished, resources=LITTLE).start()
    assert not cluster.wait_until_over(pod)
    (status,) = cluster.pods()[pod]["status"]["containerStatuses"]
    assert status["state"]["terminated"]["reason"] == "OOMKilled"
    assert merge(finished).run()["merged_model"]["digest"] == merged(finished)


def test_result_is_not_lost_where_mlflow_is_away(finished: Finished) -> None:
    away = {"MLFLOW_TRACKING_URI": "http://mlflow-away:5000", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    replay = Replay(walk=finished.walk, task="merge", store=f"s3://{BUCKET}/untracked", environment=away)
    pod = replay.start()
    assert replay.outputs(pod)["merged_model"]["digest"] == merged(finished)
    assert "MLflow" in replay.log(pod)
