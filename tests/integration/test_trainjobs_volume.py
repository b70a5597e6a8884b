"""Training on two nodes that share a claim on a volume, as a profile names it: their cache of artifacts lies there."""

from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.profiles.training_nodes import TRAINING_NODES, told
from tests.integration.cluster import Cluster
from tests.integration.trainings import Trainings
from tests.waiting import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

CLAIM, PLACE = "shared-models", "/mnt/models"
PROFILE = {
    "count": 2,
    "cpu_request": "300m",
    "cpu_limit": 1,
    "memory_request": "700Mi",
    "memory_limit": "3Gi",
    "claims": [{"name": CLAIM, "path": PLACE}],
    "environment": {"STORM_CACHE": f"{PLACE}/cache"},
}


@pytest.fixture
def claim(cluster: Cluster) -> Iterator[str]:
    """A claim on a volume of the cluster's default class."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    made = {"metadata": {"name": CLAIM}, "spec": spec}
    cluster.api.create_namespaced_persistent_volume_claim(cluster.namespace, made)
    yield CLAIM
    cluster.api.delete_namespaced_persistent_volume_claim(CLAIM, cluster.namespace)
    wait_for(lambda: CLAIM not in cluster.claims())


def files_of(cluster: Cluster, claim: str, image: str) -> list[str]:
    """The paths of all files on the claim's volume, as another pod finds them."""
    container: dict[str, Any] = {
        "name": "find",
        "image": image,
        "command": ["find", PLACE, "-type", "f"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "claim", "mountPath": PLACE}],
        "resources": {"requests": {"cpu": "50m"}},
    }
    spec = {
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}],
    }
    cluster.add_pod({"metadata": {"name": "find"}, "spec": spec})
    assert cluster.wait_until_over("find"), cluster.tail("find")
    found = cluster.log("find").splitlines()
    cluster.kill("find")  # The claim stays as long as a pod that names it.
    return found


def test_two_nodes_keep_what_they_fetch_on_the_claim_of_a_profile(trainings: Trainings, claim: str) -> None:
    nodes = told(TRAINING_NODES.read("training_nodes", PROFILE), None)
    component = trainings.start("--epochs=9", "--gradient-accumulation-steps=2", nodes=nodes)
    job = trainings.job_of(component)
    assert trainings.cluster.wait_until_over(component), trainings.cluster.tail(component)
    assert trainings.cluster.claims()[claim] == "Bound"
    assert {pod["status"]["phase"] for pod in trainings.nodes(job).values()} == {"Succeeded"}
    files = files_of(trainings.cluster, claim, trainings.image)
    for uri in trainings.inputs.values():
        digest = uri.rpartition("/")[2]
        assert f"{PLACE}/cache/artifacts/{digest}/manifest.json" in files, files
    assert not [path for path in files if "/partial/" in path]
    trainings.delete_job(job)
