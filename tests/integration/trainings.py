"""Trainings on nodes: the component as a pod in KFP's shape, and the TrainJob that it makes and follows."""

import base64
import io
import json
import secrets
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client
from urllib3.exceptions import HTTPError

from storm_core.cluster.nodes import NODES_VARIABLE
from storm_core.execution import execute
from storm_core.records import write_examples
from storm_core.spectrum.config import SCAN, ScanConfig
from tests.finetuning.conftest import questions
from tests.integration import kfp_pod
from tests.integration.cluster import Cluster
from tests.integration.pods import LAUNCHER
from tests.waiting import wait_for

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
# Without requests the nodes would starve beside the tests' servers.
NODE = {"requests": {"cpu": "300m", "memory": "700Mi"}, "limits": {"cpu": "1", "memory": "3Gi"}}
INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """Components that train the same model on the same data, in one namespace.

    Attributes:
        image: of the component, and so of its nodes.
        inputs: URI by input of `train`.
        store: that all of it lies in.
        secret: that opens it.
    """

    cluster: Cluster
    image: str
    inputs: Mapping[str, str]
    store: str
    secret: str
    service_account: str

    def start(self, *options: str, nodes: Mapping[str, Any], owner: Mapping[str, Any] | None = None) -> str:
        """A pod of the component with these options of `train`; its name."""
        name = f"train-{secrets.token_hex(3)}"
        given = {"resources": NODE, "unfollowed_minutes": 0.5, **nodes}
        variables = {"STORM_STORE": self.store, NODES_VARIABLE: json.dumps(given)}
        container = {
            "image": self.image,
            "env": [{"name": key, "value": value} for key, value in variables.items()],
            "resources": {"resourceCpuRequest": "100m", "resourceMemoryRequest": "200Mi"},
        }
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL_S3")
        pairs = [{"secretKey": key, "envVar": key} for key in keys]
        executor = kfp_pod.Executor(container, {"secretAsEnv": [{"secretName": self.secret, "keyToEnv": pairs}]})
        self.cluster.add_files(name, _files())
        pod = kfp_pod.pod(name, executor, self._command(options), service_account=self.service_account)
        if owner:
            pod["metadata"]["ownerReferences"] = [dict(owner)]
        self.cluster.add_pod(pod)
        return name

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Every TrainJob, by name."""
        listed = client.CustomObjectsApi().list_namespaced_custom_object(GROUP, VERSION, self.cluster.namespace, PLURAL)
        return {job["metadata"]["name"]: job for job in listed["items"]}

    def delete_job(self, name: str) -> None:
        """Delete the TrainJob and wait until it is gone."""
        place = (GROUP, VERSION, self.cluster.namespace, PLURAL, name)
        client.CustomObjectsApi().delete_namespaced_custom_object(*place)
        wait_for(lambda: name not in self.jobs())

    def nodes(self, job: str) -> dict[str, dict[str, Any]]:
        """The pods of a TrainJob, by the number of their node; those that are going are left out."""
        found = [
            pod
            for pod in self.cluster.pods().values()
            if pod["metadata"].get("labels", {}).get("jobset.sigs.k8s.io/jobset-name") == job
            and "deletionTimestamp" not in pod["metadata"]
        ]
        return {pod["metadata"]["labels"][INDEX]: pod for pod in found}

    def job_of(self, component: str) -> str:
        """The name of the TrainJob that a component made or follows, once it says so."""
        return str(wait_for(lambda: _job_in(self.cluster.tail(component))))

    def wait_for_line(self, component: str, part: str) -> str:
        """The first line of the component's log that holds `part`, once it is there."""
        return str(wait_for(lambda: next(iter(self.lines(component, part)), "")))

    def lines(self, component: str, part: str) -> list[str]:
        """Lines of the component's log that hold `part`."""
        try:
            return [line for line in self.cluster.log(component).splitlines() if part in line]
        except client.ApiException:  # The container has not begun.
            return []

    def lines_patiently(self, component: str, part: str) -> list[str]:
        """The same, while the API server may be away."""
        try:
            return self.lines(component, part)
        except HTTPError:
            return []

    def _command(self, options: tuple[str, ...]) -> list[str]:
        inputs = [part for name, uri in self.inputs.items() for part in (f"--{name}", uri)]
        outputs = ["--tuned-model", "/tmp/out/tuned_model", "--training", "/tmp/out/training"]  # noqa: S108
        return ["storm", "train", *inputs, *outputs, *options]


def make_inputs(directory: Path, model: Path) -> dict[str, Path]:
    """A model, a selection and a scan by the names that `train` gives them; those that are made lie in `directory`."""
    selection, scan = directory / "selection", directory / "scan"
    selection.mkdir()
    write_examples(selection / "train.parquet", questions(40))
    write_examples(selection / "validation.parquet", questions(3))
    execute(SCAN, ScanConfig(), {"model": [str(model)]}, {"scan": scan}, {})
    return {"model": model, "selection": selection, "scan": scan}


def _job_in(log: str) -> str:
    words = [line.split() for line in log.splitlines() if "TrainJob storm-train-" in line]
    return next((word.strip(",:") for line in words for word in line if word.startswith("storm-train-")), "")


def _files() -> dict[str, str]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz"):
        pass
    files = {"launcher.py": LAUNCHER.read_bytes(), "inputs.tar.gz": packed.getvalue(), "outputs.json": b"[]"}
    return {name: base64.b64encode(content).decode() for name, content in files.items()}
