"""The pods of every shipped profile, as the API server takes them: all fields known and valid, under `restricted`."""

from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from pipelines.__main__ import main
from pipelines.profiles.loading import shipped
from tests.integration import kfp_pod
from tests.integration.cluster import Cluster
from tests.integration.conftest import SERVICE_ACCOUNT, read_executors

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "llama31_storm_8b.yaml"
EVERYTHING = ROOT / "tests" / "pipelines" / "everything.yaml"
PROFILES = {**{name: name for name in shipped()}, "everything": str(EVERYTHING)}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_pod_of_a_profile_is_what_the_api_server_takes(profile: str, cluster: Cluster, tmp_path: Path) -> None:
    compiled = tmp_path / "storm.yaml"
    assert main(["compile", "--recipe", str(RECIPE), "--output", str(compiled), "--profile", PROFILES[profile]]) == 0
    for task, executor in read_executors(compiled).items():
        asked = kfp_pod.pod(f"{profile}-{task}", executor, [], service_account=SERVICE_ACCOUNT, run_id="a-run")
        taken = cluster.check_pod(asked)
        assert is_in(asked["spec"], taken["spec"]), task
        assert is_in(asked["metadata"], taken["metadata"]), task


def is_in(asked: Any, taken: Any) -> bool:
    """Whether all that is asked for is in what was taken; the API server adds to it, and writes quantities its way."""
    if isinstance(asked, dict):
        return all(name in taken and is_in(value, taken[name]) for name, value in asked.items())
    if isinstance(asked, list):
        return all(any(is_in(one, other) for other in taken) for one in asked)
    return bool(asked == taken)


def test_field_that_the_api_server_does_not_know_is_refused(cluster: Cluster) -> None:
    container = {"container": {"image": "storm-core", "env": [], "resources": {}}, "kubernetes": {}}
    pod = kfp_pod.pod("misspelt", kfp_pod.Executor(**container), [], service_account=SERVICE_ACCOUNT)
    assert is_in(pod["spec"], cluster.check_pod(pod)["spec"])
    pod["spec"]["tolerance"] = []
    with pytest.raises(client.ApiException, match=r"spec\.tolerance"):
        cluster.check_pod(pod)
