"""Stages where a cluster is stricter than KFP asks for: read-only root, scratch volumes, a private CA, proxies."""

import base64
from typing import Any

import pytest

from tests.integration.certificates import private_certificates
from tests.integration.cluster import Cluster
from tests.integration.conftest import BUCKET, SECRETS, Finished, Servers, s3_secret, servers_image
from tests.integration.doors import Door
from tests.integration.replays import Replay

pytestmark = pytest.mark.cluster

# An address of the block that documentation uses: nothing answers there.
PROXY = "http://198.51.100.1:3128"
CA = "/etc/private-ca"
SCRATCH = "/scratch"


def digest(finished: Finished, task: str, output: str) -> str:
    """The digest that the finished run gave the output."""
    (ended,) = (ended for ended in finished.walk.ended if ended.task == task)
    return str(ended.executor_output["artifacts"][output]["artifacts"][0]["metadata"]["digest"])


def main_container(pod: dict[str, Any]) -> dict[str, Any]:
    """The container of the stage."""
    (container,) = pod["spec"]["containers"]
    return dict(container)


def with_volume(pod: dict[str, Any], name: str, mount_path: str, **source: Any) -> dict[str, Any]:
    """The pod with one more volume in its container."""
    spec, container = pod["spec"], main_container(pod)
    container["volumeMounts"] = [*container["volumeMounts"], {"name": name, "mountPath": mount_path}]
    return {**pod, "spec": {**spec, "containers": [container], "volumes": [*spec["volumes"], {"name": name, **source}]}}


def with_read_only_root(pod: dict[str, Any]) -> dict[str, Any]:
    """The pod as KFP cannot make it: nothing can be written but to its volumes."""
    changed = with_volume(pod, "tmp", "/tmp", emptyDir={})  # noqa: S108 (the volume's place)
    container = main_container(changed)
    container["securityContext"] = {**container["securityContext"], "readOnlyRootFilesystem": True}
    return {**changed, "spec": {**changed["spec"], "containers": [container]}}


@pytest.mark.parametrize(
    ("task", "output"), [("prepare", "examples"), ("train", "tuned_model"), ("merge", "merged_model")]
)
def test_stage_gives_the_same_artifact_with_a_read_only_root(finished: Finished, task: str, output: str) -> None:
    replay = Replay(walk=finished.walk, task=task, store=f"s3://{BUCKET}/read-only", change=with_read_only_root)
    assert replay.run()[output]["digest"] == digest(finished, task, output)


def test_cache_and_temporary_files_lie_on_a_scratch_volume(finished: Finished, cluster: Cluster) -> None:
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "standard",
        "resources": {"requests": {"storage": "1Gi"}},
    }

    def with_scratch(pod: dict[str, Any]) -> dict[str, Any]:
        return with_volume(pod, "scratch", SCRATCH, ephemeral={"volumeClaimTemplate": {"spec": claim}})

    environment = {"STORM_CACHE": f"{SCRATCH}/cache", "TMPDIR": SCRATCH}
    replay = Replay(
        walk=finished.walk,
        task="merge",
        store=f"s3://{BUCKET}/scratch",
        environment=environment,
        change=lambda pod: with_read_only_root(with_scratch(pod)),
    )
    pod = replay.start()
    assert replay.outputs(pod)["merged_model"]["digest"] == digest(finished, "merge", "merged_model")
    claims = cluster.api.list_namespaced_persistent_volume_claim(cluster.namespace).items
    assert [(one.metadata.name, one.status.phase) for one in claims] == [(f"{pod}-scratch", "Bound")]
    cluster.kill(pod)


@pytest.fixture
def private_s3(finished: Finished, cluster: Cluster, servers: Servers) -> str:
    """The name of a secret: the S3 server by TLS, with a certificate of an authority that no image knows."""
    authority, certificate = private_certificates("s3-private")
    Door(cluster, "s3-private", "s3", 8333, servers_image(), certificate)
    cluster.add_secret("storm-s3-private", s3_secret(servers, "https://s3-private:8333"))
    cluster.add_files("private-ca", {"ca.crt": base64.b64encode(authority.encode()).decode()})
    return "storm-s3-private"


def test_private_authority_is_a_file_and_servers_inside_are_reached_past_the_proxies(
    finished: Finished, private_s3: str
) -> None:
    environment = {
        "AWS_CA_BUNDLE": f"{CA}/ca.crt",
        "HTTP_PROXY": PROXY,
        "HTTPS_PROXY": PROXY,
        "NO_PROXY": "s3-private,mlflow",
    }
    replay = Replay(
        walk=finished.walk,
        task="merge",
        store=f"s3://{BUCKET}/private",
        environment=environment,
        secrets={SECRETS["s3"]: private_s3},
        change=lambda pod: with_volume(pod, "ca", CA, configMap={"name": "private-ca"}),
    )
    assert replay.run()["merged_model"]["digest"] == digest(finished, "merge", "merged_model")
