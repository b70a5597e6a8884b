"""What MLflow's registries hold of a store: the registered models, and what decided on them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from storm_core.errors import InputError, first_line
from storm_core.manifest import Manifest
from storm_core.mlflow_client import connect
from storm_core.redaction import without_secrets
from storm_core.stores.layout import split_location
from storm_core.stores.needed import Needed
from storm_core.stores.references import stored_artifact
from storm_core.stores.registrations import DECISION_TAGS, noted_registrations, registry_address
from storm_core.stores.store import Store
from storm_core.stores.uris import parse_uri

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def keep_registered(store: Store, needed: Needed, registries: Sequence[str | None]) -> int:
    """Keep the models that the registries hold, and what decided on them; returns how many versions.

    `registries` are tracking URIs; None is that of the environment.

    Raises:
        InputError: a registry cannot be asked, or a registered model lies in this store no more or cannot be read.
    """
    count = 0
    for registry in registries:
        for version in _versions(registry):
            source = version.source or ""
            # Others may be of a scheme that no store has.
            if source.startswith(f"{store.location.uri}/"):
                count += 1
                needed.keep(_manifest(store, source))
                needed.keep_digests(version.tags[tag] for tag in DECISION_TAGS if tag in version.tags)
    return count


def keep_noted(store: Store, needed: Needed, registries: Sequence[str | None]) -> list[str]:
    """Keep what the store's notes say of registries that were not asked, and of models that those did not show.

    Returns a line for each.
    """
    asked = {registry_address(registry) if registry else _default_registry(): registry for registry in registries}
    shown: dict[tuple[str, str], bool] = {}
    lines = []
    for one in noted_registrations(store.ledger):
        place = one.registry, one.name
        if one.registry in asked and place not in shown:
            shown[place] = _shows(asked[one.registry], one.name)
        if not shown.get(place):
            needed.keep_digests([one.digest, *one.decided_by])
            why = "where this user may not read it" if place in shown else "which --registry would ask"
            lines.append(f"model {one.digest[:12]}, registered as {one.name} at {one.registry}, {why}")
    return lines


def _shows(registry: str | None, name: str) -> bool:
    """Whether the registry tells this user all of the registered model, or that there is none."""
    from mlflow.exceptions import MlflowException

    try:
        connect(registry).get_registered_model(name)
    except MlflowException as error:
        return bool(error.error_code == "RESOURCE_DOES_NOT_EXIST")
    return True


def _default_registry() -> str:
    import mlflow

    return registry_address(mlflow.get_registry_uri())


def _versions(registry: str | None) -> Iterator["ModelVersion"]:
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        client = connect(registry)
        page = client.search_model_versions()
        yield from page
        while page.token:
            page = client.search_model_versions(page_token=page.token)
            yield from page
    except MlflowException as error:
        uri = registry or mlflow.get_registry_uri()
        named = registry_address(uri)
        fault = without_secrets(first_line(error)).replace(uri, named)  # It may hold a password.
        raise InputError(f"the registry {named} cannot be asked what to keep: {fault}") from error


def _manifest(store: Store, source: str) -> Manifest:
    """The manifest of what the registry names; it may lie in a store of its own below this one."""
    found = split_location(parse_uri(source))
    artifact = store.artifact(*found[1:]) if found and found[0] == store.location else stored_artifact(source)
    if artifact is None:
        raise InputError(f"{source}, which a model version in MLflow names as its source, is in no store")
    return artifact.manifest()
