"""A version of a registered model in MLflow: found by digest or created, then described with its scores.

A version of MLflow's own open-source registry carries no metrics. So the scores go to three places: the description and
the tags of the version, which its page shows, and the metrics of a logged model that is linked with the version, by
which MLflow compares and draws models. Servers older than MLflow 3 have no logged models: there a version is without.
"""

import contextlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

from storm_core.mlflow_requests import is_missing, is_unknown_request
from storm_core.progress import report

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

DIGEST_TAG = "storm.digest"
_LOGGED_MODEL_TAG = "storm.logged_model"
# By this tag MLflow's pages lead from a logged model to its versions; its server sets it, its SQL client does not.
_VERSIONS_TAG = "mlflow.modelVersions"
# MLflow takes these in the name of a registered model and refuses them in that of a logged one.
_NOT_IN_LOGGED_MODELS = re.compile(r"[.%]")


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """What the registry is told of one model.

    Attributes:
        role: `merged` or `quantized`.
        source: URI of the artifact.
        tags: everything else to be found by, text to text.
        metrics: number by name.
        description: Markdown.
    """

    role: str
    digest: str
    source: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    description: str


def register_version(client: "MlflowClient", run_id: str, name: str, entry: ModelEntry) -> str:
    """The version number of `entry` under the registered model `name`, created unless its digest is there already.

    Either way tags, description and metrics are brought up to date, so that an interrupted registration is completed by
    the next; and a version that a writer made beside it, who was killed before it took that back, is taken back.
    """
    _ensure_registered_model(client, name)
    found = find_version(client, name, entry.digest) or _create_first_version(client, run_id, name, entry)
    for other in _versions(client, name, entry.digest):
        if str(other.version) != str(found.version) and not _has_alias(client, name, other):
            _take_back(client, name, other, found)
    version = str(found.version)
    for tag, text in sorted(entry.tags.items()):
        if found.tags.get(tag) != text:
            client.set_model_version_tag(name, version, tag, text)
    if found.description != entry.description:
        client.update_model_version(name, version, description=entry.description)
    if model_id := found.tags.get(_LOGGED_MODEL_TAG):
        _link(client, run_id, model_id, name, version, entry)
    return version


def _link(client: "MlflowClient", run_id: str, model_id: str, name: str, version: str, entry: ModelEntry) -> None:
    """Lead from the logged model to the version, and log the scores to it."""
    client.set_logged_model_tags(model_id, {_VERSIONS_TAG: json.dumps([{"name": name, "version": version}])})
    now = int(time.time() * 1000)
    # A metric belongs to the run too, where the names of two models must not clash.
    metrics = [
        Metric(f"{entry.role}/{metric}", value, now, 0, model_id=model_id) for metric, value in entry.metrics.items()
    ]
    client.log_batch(run_id, metrics)


def find_version(client: "MlflowClient", name: str, digest: str) -> "ModelVersion | None":
    """The version that carries the digest, the first one should there be several; None where there is none."""
    return min(_versions(client, name, digest), key=lambda version: int(version.version), default=None)


def _versions(client: "MlflowClient", name: str, digest: str) -> "list[ModelVersion]":
    return list(client.search_model_versions(f"name = '{name}' and tags.`{DIGEST_TAG}` = '{digest}'"))


def aliases_of(client: "MlflowClient", name: str, version: str) -> list[str]:
    """The aliases of one version, sorted."""
    return sorted(client.get_model_version(name, version).aliases)


def _ensure_registered_model(client: "MlflowClient", name: str) -> None:
    try:
        client.create_registered_model(
            name, description="Models made by the Storm recipe; each version is one artifact"
        )
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise


def _create_first_version(client: "MlflowClient", run_id: str, name: str, entry: ModelEntry) -> "ModelVersion":
    """A new version of the digest, unless another process creates one at the same time: then the lower of the two.

    MLflow has no unique tags, but its version numbers are: whoever was given the higher one finds the lower one there,
    and takes its own back.
    """
    made = _create_version(client, run_id, name, entry)
    first = find_version(client, name, entry.digest)
    if first is None or str(first.version) == str(made.version):
        return made
    _take_back(client, name, made, first)
    return first


def _take_back(client: "MlflowClient", name: str, version: "ModelVersion", first: "ModelVersion") -> None:
    """Delete a version and its logged model, unless that is the `first` one's too; another writer may be quicker."""
    with _unless_missing():
        client.delete_model_version(name, str(version.version))
    model_id = version.tags.get(_LOGGED_MODEL_TAG)
    if model_id and model_id != first.tags.get(_LOGGED_MODEL_TAG):
        with _unless_missing():
            client.delete_logged_model(model_id)


def _has_alias(client: "MlflowClient", name: str, version: "ModelVersion") -> bool:
    with _unless_missing():
        return bool(aliases_of(client, name, str(version.version)))
    return False


@contextlib.contextmanager
def _unless_missing() -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        if not is_missing(error):
            raise


def _create_version(client: "MlflowClient", run_id: str, name: str, entry: ModelEntry) -> "ModelVersion":
    model_id = _create_logged_model(client, run_id, name, entry)
    # The tags that a retry looks for come with the creation itself, and so do all others: each alone is a request.
    tags = {**entry.tags, DIGEST_TAG: entry.digest, **({_LOGGED_MODEL_TAG: model_id} if model_id else {})}
    return client.create_model_version(
        name, entry.source, run_id=run_id, tags=tags, description=entry.description, model_id=model_id
    )


def _create_logged_model(client: "MlflowClient", run_id: str, name: str, entry: ModelEntry) -> str | None:
    """The ID of a logged model without a version: one that a killed writer left, or a new one.

    None on a server that has no logged models.
    """
    experiment, logged_name = client.get_run(run_id).info.experiment_id, logged_model_name(name, entry.role)
    try:
        left = client.search_logged_models(
            [experiment], f"name = '{logged_name}' and tags.`{DIGEST_TAG}` = '{entry.digest}'"
        )
        logged = next((one for one in left if _is_left_alone(one, entry)), None) or client.create_logged_model(
            experiment,
            name=logged_name,
            source_run_id=run_id,
            tags={DIGEST_TAG: entry.digest},
            params={"source": entry.source},
            model_type=entry.role,
        )
    except MlflowException as error:
        if not is_unknown_request(error):
            raise
        report(f"{name}, {entry.role}: scores are in tags and description alone; MLflow 3 would compare them, too")
        return None
    client.finalize_logged_model(logged.model_id, "READY")
    return str(logged.model_id)


def _is_left_alone(model: "LoggedModel", entry: ModelEntry) -> bool:
    """Whether a logged model of this digest never came to have a version."""
    return _VERSIONS_TAG not in model.tags and model.params.get("source") == entry.source


def logged_model_name(name: str, role: str) -> str:
    """What the logged model of a version is called: as the registered model, with dashes for what MLflow refuses."""
    return f"{_NOT_IN_LOGGED_MODELS.sub('-', name)}-{role}"
