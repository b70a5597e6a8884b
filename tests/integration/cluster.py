"""A namespace of our own on the cluster that `KUBECONFIG` names, and what a test does in it."""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config

from tests.integration.forwarding import forwarded

# What must be gone with the namespace, and what an earlier run that was killed left, carry it.
LABEL = "storm-kubeflow/tests"
WAIT_SECONDS = 300
# An older namespace of ours is nobody's any more; a younger one may be another person's run.
LONGEST_RUN = timedelta(hours=2)
# What a container waits for in vain.
_HOPELESS = ("CreateContainerConfigError", "ErrImagePull", "ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName")


class Cluster:
    """One namespace, under Pod Security `restricted`."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.api = client.CoreV1Api()

    def add_secret(self, name: str, data: Mapping[str, str]) -> None:
        """Make a secret of these strings."""
        self.api.create_namespaced_secret(self.namespace, {"metadata": {"name": name}, "stringData": dict(data)})

    def add_files(self, name: str, files: Mapping[str, str]) -> None:
        """Make a config map of files, each in base64."""
        self.api.create_namespaced_config_map(self.namespace, {"metadata": {"name": name}, "binaryData": dict(files)})

    def add_values(self, name: str, values: Mapping[str, str]) -> None:
        """Make a config map of these strings."""
        self.api.create_namespaced_config_map(self.namespace, {"metadata": {"name": name}, "data": dict(values)})

    def add_service_account(self, name: str) -> None:
        """Make a service account without rights."""
        self.api.create_namespaced_service_account(self.namespace, {"metadata": {"name": name}})

    def add_pod(self, manifest: Mapping[str, Any]) -> None:
        """Make a pod."""
        self.api.create_namespaced_pod(self.namespace, dict(manifest))

    def check_pod(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """What the API server would make of the pod, every field of it known and valid; nothing is made."""
        would_be = self.api.create_namespaced_pod(
            self.namespace, dict(manifest), dry_run="All", field_validation="Strict"
        )
        return dict(self.api.api_client.sanitize_for_serialization(would_be))

    def add_service(self, name: str, port: int) -> None:
        """Make a service of the pods that are labelled `app: <name>`."""
        spec = {"selector": {"app": name}, "ports": [{"port": port}]}
        self.api.create_namespaced_service(self.namespace, {"metadata": {"name": name}, "spec": spec})

    def kill(self, name: str) -> None:
        """Delete the pod without grace, as KFP and a lost node do, and wait until it is gone."""
        self.api.delete_namespaced_pod(name, self.namespace, grace_period_seconds=0)
        deadline = time.monotonic() + WAIT_SECONDS
        while name in self.pods():
            assert time.monotonic() < deadline, f"pod {name} is still there after {WAIT_SECONDS} s"
            time.sleep(0.2)

    def apply(self, text: str) -> None:
        """Make the services and pods of a YAML text."""
        make = {"Service": self.api.create_namespaced_service, "Pod": self.api.create_namespaced_pod}
        for manifest in yaml.safe_load_all(text):
            make[manifest["kind"]](self.namespace, manifest)

    def pods(self) -> dict[str, Any]:
        """Every pod as the API server has it, by name."""
        found = self.api.list_namespaced_pod(self.namespace).items
        return {pod.metadata.name: self.api.api_client.sanitize_for_serialization(pod) for pod in found}

    def events(self) -> list[str]:
        """Every event, as text."""
        return [str(event) for event in self.api.list_namespaced_event(self.namespace).items]

    def claims(self) -> dict[str, str]:
        """The phase of every claim on a volume, by name."""
        found = self.api.list_namespaced_persistent_volume_claim(self.namespace).items
        return {claim.metadata.name: claim.status.phase for claim in found}

    def config_maps(self) -> list[str]:
        """Every config map, as text."""
        return [str(one) for one in self.api.list_namespaced_config_map(self.namespace).items]

    def log(self, name: str) -> str:
        """What the pod wrote so far."""
        answer = self.api.read_namespaced_pod_log(name, self.namespace, _preload_content=False)
        return str(answer.data.decode())

    def wait_until_ready(self, name: str) -> None:
        """Wait for the pod's readiness probe."""
        self._wait(name, lambda status: any(one.ready for one in status.container_statuses or []))

    def wait_until_over(self, name: str, *, seconds: float = WAIT_SECONDS) -> bool:
        """Wait for the pod to end; whether it ended well."""
        status = self._wait(name, lambda status: status.phase in ("Succeeded", "Failed"), seconds)
        return bool(status.phase == "Succeeded")

    def _wait(self, name: str, holds: Callable[[Any], bool], seconds: float = WAIT_SECONDS) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status = self.api.read_namespaced_pod_status(name, self.namespace).status
            if holds(status):
                return status
            if reason := _waits_in_vain(status):
                raise AssertionError(f"pod {name}: {reason}\n{self.tail(name)}")
            time.sleep(0.5)
        raise AssertionError(
            f"pod {name} did not become ready or end within {seconds:.0f} s: {status}\n{self.tail(name)}"
        )

    def tail(self, name: str) -> str:
        """The end of the pod's log, where it has one."""
        try:
            return self.log(name)[-3000:]
        except client.ApiException as error:
            return f"no log: {error.reason}"

    def forwarded(self, pod: str, port: int) -> contextlib.AbstractContextManager[str]:
        """The pod's port at an address of this machine, as `host:port`, whatever becomes of the API server."""
        return forwarded(self.namespace, pod, port)


def _waits_in_vain(status: Any) -> str:
    """Why what is waited for will not come; empty where it may."""
    if status.phase == "Failed":
        return "failed"
    for one in status.container_statuses or []:
        waiting = one.state.waiting
        if waiting and waiting.reason in _HOPELESS:
            return f"{waiting.reason}: {waiting.message}"
    return ""


@contextlib.contextmanager
def namespace() -> Iterator[Cluster]:
    """A new namespace, gone with all that is in it afterwards; what runs that were killed left is removed first."""
    if not os.environ.get("KUBECONFIG"):
        raise AssertionError("KUBECONFIG names no cluster; `make test-cluster` needs one that has the images")
    if not shutil.which("kubectl"):
        raise AssertionError("`make test-cluster` needs kubectl on the PATH, to reach servers in the cluster")
    config.load_kube_config(str(Path(os.environ["KUBECONFIG"])))
    api = client.CoreV1Api()
    for left in api.list_namespace(label_selector=LABEL).items:
        if datetime.now(UTC) - left.metadata.creation_timestamp > LONGEST_RUN:
            _remove(api, left.metadata.name)
    name = f"storm-test-{secrets.token_hex(4)}"
    labels = {LABEL: "true", "pod-security.kubernetes.io/enforce": "restricted"}
    api.create_namespace({"metadata": {"name": name, "labels": labels}})
    try:
        yield Cluster(name)
    finally:
        _remove(api, name)


def _remove(api: Any, name: str) -> None:
    try:
        api.delete_namespace(name)
    except client.ApiException as error:
        if error.status != 404:
            raise
    deadline = time.monotonic() + WAIT_SECONDS
    while any(one.metadata.name == name for one in api.list_namespace().items):
        assert time.monotonic() < deadline, f"namespace {name} is still there after {WAIT_SECONDS} s"
        time.sleep(1)
