"""Who makes a TrainJob and who follows it, with no more rights than a pipeline's pods have."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from kubernetes import client

from storm_core.cluster.api import Api
from storm_core.cluster.claiming import claim
from storm_core.cluster.document import train_job
from storm_core.cluster.errors import ClusterError
from storm_core.cluster.nodes import TrainingNodes
from storm_core.cluster.own_pod import OwnPod
from storm_core.cluster.request import JobRequest
from tests.integration.barriers import Barrier, barrier_for_train_jobs
from tests.integration.cluster import Cluster
from tests.integration.conftest import servers_image
from tests.integration.trainings import Trainings
from tests.waiting import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

TIMES = 20
ARGO = "argoproj.io"


def as_account(cluster: Cluster, name: str) -> Api:
    """The API as a pod with this service account reaches it."""
    settings = client.Configuration.get_default_copy()
    token = cluster.api.create_namespaced_service_account_token(name, cluster.namespace, {"spec": {}}).status.token
    settings.api_key = {"authorization": f"Bearer {token}"}
    settings.cert_file = settings.key_file = None
    return Api(client.ApiClient(settings), cluster.namespace)


def document(trainings: Trainings, key: str, owner: dict[str, Any] | None = None) -> dict[str, Any]:
    """A TrainJob that makes no pods."""
    own = OwnPod(image=trainings.image, owner=owner)
    made = train_job(JobRequest(key=key * 64, command=["train"]), TrainingNodes(count=2), own)
    made["spec"]["suspend"] = True
    return made


@pytest.fixture
def barrier(trainings: Trainings) -> Iterator[Barrier]:
    """Each creation of a TrainJob waits at the API server until another of the same name is there."""
    with barrier_for_train_jobs(trainings.cluster, servers_image()) as made:
        yield made


def test_two_components_at_the_create_call_at_once_make_one_job_and_both_follow_it(
    trainings: Trainings, barrier: Barrier
) -> None:
    for number in range(TIMES):
        options, nodes = f"--epochs={4001 + number}", {"count": 2, "resources": {"requests": {"cpu": "400"}}}
        components = [trainings.start(options, nodes=nodes) for _ in range(2)]
        (name,) = {trainings.job_of(component) for component in components}
        assert barrier.was_met_at(name)
        said = [trainings.cluster.log(component) for component in components]
        made = [f"made TrainJob {name}" in log for log in said]
        follows = [f"follows TrainJob {name}, which is there already" in log for log in said]
        assert sorted(zip(made, follows, strict=True)) == [(False, True), (True, False)], said
        assert list(trainings.jobs()) == [name]
        for component in components:
            trainings.cluster.kill(component)
        trainings.delete_job(name)


def test_account_without_the_role_is_told_what_to_apply(trainings: Trainings) -> None:
    trainings.cluster.add_service_account("nobody")
    with pytest.raises(ClusterError, match=r"may not get trainjobs .*; apply manifests/base there"):
        claim(as_account(trainings.cluster, "nobody"), document(trainings, "a"), replace_complete=False)


@pytest.fixture
def workflows(trainings: Trainings) -> Iterator[list[dict[str, Any]]]:
    """References to two objects of Argo's kind Workflow, which the cluster gets for the time of the test."""
    kinds, jobs, place = client.ApiextensionsV1Api(), client.CustomObjectsApi(), trainings.cluster.namespace
    names = {"plural": "workflows", "singular": "workflow", "kind": "Workflow"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": schema}
    spec = {"group": ARGO, "names": names, "scope": "Namespaced", "versions": [version]}
    kinds.create_custom_resource_definition({"metadata": {"name": f"workflows.{ARGO}"}, "spec": spec})

    def make(name: str) -> Any:
        made = {"apiVersion": f"{ARGO}/v1alpha1", "kind": "Workflow", "metadata": {"name": name}}
        try:
            return jobs.create_namespaced_custom_object(ARGO, "v1alpha1", place, "workflows", made)
        except client.ApiException:  # The kind is not served yet.
            return None

    made = [wait_for(partial(make, name)) for name in ("first", "second")]
    yield [
        {
            "apiVersion": one["apiVersion"],
            "kind": one["kind"],
            "name": one["metadata"]["name"],
            "uid": one["metadata"]["uid"],
        }
        for one in made
    ]
    kinds.delete_custom_resource_definition(f"workflows.{ARGO}")


def test_job_goes_with_the_last_of_the_workflows_that_follow_it(
    trainings: Trainings, workflows: list[dict[str, Any]]
) -> None:
    api, place = as_account(trainings.cluster, trainings.service_account), trainings.cluster.namespace
    first, second = workflows
    name = claim(api, document(trainings, "b", first), replace_complete=False)["metadata"]["name"]
    joined = claim(api, document(trainings, "b", second), replace_complete=False)
    assert [one["name"] for one in joined["metadata"]["ownerReferences"]] == ["first", "second"]
    jobs = client.CustomObjectsApi()
    jobs.delete_namespaced_custom_object(ARGO, "v1alpha1", place, "workflows", "first")
    wait_for(lambda: len(trainings.jobs()[name]["metadata"]["ownerReferences"]) == 1)
    jobs.delete_namespaced_custom_object(ARGO, "v1alpha1", place, "workflows", "second")
    wait_for(lambda: name not in trainings.jobs())
