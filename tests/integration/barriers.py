"""Two who create the same TrainJob, held at the API server's create call until both are there."""

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path

from kubernetes import client

from tests.integration.certificates import private_certificates
from tests.integration.cluster import Cluster
from tests.integration.script_pods import add_script, beside_script, script_pod

SERVER = Path(__file__).with_name("barrier_server.py")
NAME, PORT = "barrier", 8443
_CERTIFICATE = "certificate.pem"


class Barrier:
    """A webhook of the API server's admission, the last thing before an object is stored."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def was_met_at(self, name: str) -> bool:
        """Whether two were let in together that created the object of this name."""
        return any(line.endswith(f"two at {name}") for line in self._cluster.log(NAME).splitlines())


@contextlib.contextmanager
def barrier_for_train_jobs(cluster: Cluster, image: str) -> Iterator[Barrier]:
    """While the body runs, TrainJobs of the namespace are created by twos."""
    authority, certificate = private_certificates(f"{NAME}.{cluster.namespace}.svc")
    add_script(cluster, NAME, SERVER, {_CERTIFICATE: certificate})
    cluster.add_service(NAME, PORT)
    arguments = [str(PORT), beside_script(_CERTIFICATE)]
    cluster.add_pod(script_pod(NAME, image, SERVER, arguments, port=PORT, labels={}))
    cluster.wait_until_ready(NAME)
    hooks = client.AdmissionregistrationV1Api()
    hooks.create_validating_webhook_configuration(_configuration(cluster.namespace, authority))
    try:
        yield Barrier(cluster)
    finally:
        hooks.delete_validating_webhook_configuration(f"{NAME}-{cluster.namespace}")


def _configuration(namespace: str, authority: str) -> dict[str, object]:
    rule = {"apiGroups": ["trainer.kubeflow.org"], "apiVersions": ["*"], "resources": ["trainjobs"]}
    service = {"name": NAME, "namespace": namespace, "port": PORT}
    webhook = {
        "name": "barrier.storm-kubeflow.test",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": service, "caBundle": base64.b64encode(authority.encode()).decode()},
        "failurePolicy": "Fail",
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [{**rule, "operations": ["CREATE"]}],
        "sideEffects": "None",
        "timeoutSeconds": 30,
    }
    return {"metadata": {"name": f"{NAME}-{namespace}"}, "webhooks": [webhook]}
