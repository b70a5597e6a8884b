"""The Kubernetes API, as far as a training needs it: documents in, documents out, and errors in words."""

import http
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from storm_core.cluster.errors import ClusterError

Document = dict[str, Any]
GROUP, VERSION, TRAIN_JOBS = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
# For a connection, and for an answer.
_TIMEOUTS = (5.0, 30.0)
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_AWAY = (
    http.HTTPStatus.TOO_MANY_REQUESTS,
    http.HTTPStatus.INTERNAL_SERVER_ERROR,
    http.HTTPStatus.BAD_GATEWAY,
    http.HTTPStatus.SERVICE_UNAVAILABLE,
    http.HTTPStatus.GATEWAY_TIMEOUT,
)


class AwayError(Exception):
    """The API server does not answer now."""


class Api:
    """The requests, in one namespace.

    Each raises `AwayError` where nothing answers, and `ClusterError` where what answers refuses.
    """

    def __init__(self, api_client: Any, namespace: str) -> None:
        self.namespace = namespace
        self._core = client.CoreV1Api(api_client)
        self._jobs = client.CustomObjectsApi(api_client)

    def create_job(self, document: Mapping[str, Any]) -> Document | None:
        """The job as the server made it; None where one of this name is there already."""
        place = (GROUP, VERSION, self.namespace, TRAIN_JOBS, dict(document))
        return self._ask("create", self._jobs.create_namespaced_custom_object, *place, absent=http.HTTPStatus.CONFLICT)

    def job(self, name: str) -> Document | None:
        """The job; None where there is none."""
        place = (GROUP, VERSION, self.namespace, TRAIN_JOBS, name)
        return self._ask("get", self._jobs.get_namespaced_custom_object, *place, absent=http.HTTPStatus.NOT_FOUND)

    def patch_job(self, name: str, patch: Mapping[str, Any]) -> Document | None:
        """The job with the fields of `patch`; None where another writer changed it since its `resourceVersion`."""
        place = (GROUP, VERSION, self.namespace, TRAIN_JOBS, name, dict(patch))
        return self._ask("patch", self._jobs.patch_namespaced_custom_object, *place, absent=http.HTTPStatus.CONFLICT)

    def delete_job(self, name: str, uid: str) -> None:
        """Delete the job of this name and uid with all that belongs to it, if it is there."""
        place = (GROUP, VERSION, self.namespace, TRAIN_JOBS, name)
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Foreground"}
        gone = (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.CONFLICT)
        self._ask("delete", self._jobs.delete_namespaced_custom_object, *place, absent=gone, body=options)

    def pod(self, name: str) -> Document | None:
        """The pod; None where there is none."""
        place = (name, self.namespace)
        return self._ask("get", self._core.read_namespaced_pod, *place, absent=http.HTTPStatus.NOT_FOUND, what="pods")

    def pods(self, selector: str) -> list[Document]:
        """The pods that have these labels."""
        call = self._core.list_namespaced_pod
        listed = self._ask("list", call, self.namespace, label_selector=selector, what="pods") or {}
        return list(listed.get("items", []))

    def events(self) -> list[Document]:
        """The events of the namespace."""
        call = self._core.list_namespaced_event
        return list((self._ask("list", call, self.namespace, what="events") or {}).get("items", []))

    def log(self, pod: str, container: str, since_seconds: int | None) -> str:
        """What the container wrote, each line after its time; empty where it has not begun."""
        call = self._core.read_namespaced_pod_log
        since = {"since_seconds": since_seconds} if since_seconds else {}
        not_yet = (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.BAD_REQUEST)
        place = (pod, self.namespace)
        given = {"container": container, "timestamps": True, **since}
        content = self._raw("get", call, *place, absent=not_yet, what="pods/log", **given)
        return "" if content is None else content.decode("utf-8", errors="replace")

    def _ask(self, verb: str, call: Callable[..., Any], *place: Any, **given: Any) -> Document | None:
        content = self._raw(verb, call, *place, **given)
        answer: Document | None = None if content is None else json.loads(content)
        return answer

    def _raw(
        self, verb: str, call: Callable[..., Any], *place: Any, absent: Any = (), what: str = TRAIN_JOBS, **given: Any
    ) -> bytes | None:
        """The answer's content; None where its status is one of `absent`."""
        try:
            answer = call(*place, _preload_content=False, _request_timeout=_TIMEOUTS, **given)
        except client.ApiException as error:
            if error.status in (absent if isinstance(absent, tuple) else (absent,)):
                return None
            if error.status in _AWAY and not _is_denied_by_webhook(error):
                raise AwayError(f"{error.status} {error.reason}") from error
            raise ClusterError(self._in_words(verb, what, error)) from error
        except (HTTPError, OSError) as error:
            raise AwayError(type(error).__name__) from error
        content: bytes = answer.data
        return content

    def _in_words(self, verb: str, what: str, error: client.ApiException) -> str:
        message = _message(error)
        if error.status in (http.HTTPStatus.FORBIDDEN, http.HTTPStatus.UNAUTHORIZED) and "cannot" in message:
            return (
                f"the pod's service account may not {verb} {what} in {self.namespace}; apply manifests/base there "
                f"({message})"
            )
        if error.status == http.HTTPStatus.NOT_FOUND and what == TRAIN_JOBS:
            return "this cluster knows no TrainJobs; install Kubeflow Trainer 2.2 or newer"
        return f"the cluster refuses to {verb} {what} in {self.namespace}: {message}"


def connect() -> Api:
    """The API by the pod's service account, or by the file that `KUBECONFIG` names.

    Raises:
        ClusterError: there is neither.
    """
    settings = client.Configuration()
    try:
        if _NAMESPACE_FILE.is_file():
            config.load_incluster_config(client_configuration=settings)
            namespace = _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
        else:
            config.load_kube_config(client_configuration=settings)
            _, current = config.list_kube_config_contexts()
            namespace = current["context"].get("namespace", "default")
    except config.ConfigException as error:
        raise ClusterError(f"no Kubernetes to train on: {error}; this runs in a pod, or with KUBECONFIG") from error
    settings.retries = 1
    return Api(client.ApiClient(settings), namespace)


def _message(error: client.ApiException) -> str:
    try:
        return " ".join(str(json.loads(error.body)["message"]).split())
    except (ValueError, TypeError, KeyError, RecursionError):
        return f"{error.status} {error.reason}"


def _is_denied_by_webhook(error: client.ApiException) -> bool:
    return "admission webhook" in _message(error) and "denied the request" in _message(error)
