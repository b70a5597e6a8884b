"""`register`: the merged and quantized models become versions in MLflow's registry; the gate decides on `champion`."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from storm_core.artifacts import Artifact
from storm_core.errors import InputError, StoreError
from storm_core.heartbeat import activity
from storm_core.json_objects import TEXT, TRUTH, Each, Shape, check_shape, read_object
from storm_core.mlflow_requests import check_aliases
from storm_core.progress import report
from storm_core.promotion.evaluations import Evaluation, read_evaluation
from storm_core.registry.config import RegisterConfig
from storm_core.registry.entries import model_entry
from storm_core.registry.model_versions import ModelEntry, aliases_of, register_version
from storm_core.stage import Inputs, Results
from storm_core.stores.references import store_holding
from storm_core.stores.registrations import DECISION_TAGS, Registration, note_registration, registry_address
from storm_core.tracking import current_run
from storm_core.tracking.failures import errors_in_words

if TYPE_CHECKING:
    from mlflow import MlflowClient

_DECISION: Shape = {"models": Each(TEXT), "rules": [{"name": TEXT, "reason": TEXT, "passed": TRUTH}], "passed": TRUTH}
REGISTERED_ROLES = ("merged", "quantized")


def run(config: RegisterConfig, inputs: Inputs, outputs: Mapping[str, Path]) -> Results:
    """Register both models, set the aliases, write `registration.json`.

    The alias `candidate` goes to the merged model; `champion` too, but only when the gate passed: otherwise it stays
    where it is.

    Raises:
        InputError: MLflow is not configured, cannot be used or would refuse the source, or models, evaluations and
            decision do not belong together.
    """
    connection = current_run().connection()
    if connection is None:
        raise InputError("MLFLOW_TRACKING_URI is not set; register needs a registry: sqlite:///FILE or a server's URL")
    decision = read_decision(inputs["decision"])
    entries = [_entry(role, inputs, decision) for role in REGISTERED_ROLES]
    registry = os.environ.get("MLFLOW_REGISTRY_URI") or os.environ["MLFLOW_TRACKING_URI"]
    for entry in entries:
        check_source(entry.source, registry)

    name = config.registered_model_name
    for entry in entries:
        note_in_store(entry, registry, name)
    forbidden = f"ask for the right to edit the registered model {name}, or give another registered_model_name"
    with errors_in_words(forbidden), activity(f"register versions of {name}"):
        registered = _register(*connection, name, entries, passed=decision["passed"])
    for version in registered:
        report(
            f"register: {name} version {version['version']}, {version['role']} {' '.join(version['aliases'])}".rstrip()
        )
    text = json.dumps({"registered_model_name": name, "versions": registered}, indent=2, sort_keys=True) + "\n"
    (outputs["registration"] / "registration.json").write_text(text, encoding="utf-8")
    numbers = {f"{version['role']}_version": float(version["version"]) for version in registered}
    return Results(metrics={**numbers, "gate_passed": float(decision["passed"])})


def _register(
    client: "MlflowClient", run_id: str, name: str, entries: list[ModelEntry], *, passed: bool
) -> list[dict[str, Any]]:
    check_aliases(client, name)
    versions = {entry.role: register_version(client, run_id, name, entry) for entry in entries}
    for alias in ("candidate", "champion") if passed else ("candidate",):
        client.set_registered_model_alias(name, alias, versions["merged"])
    return [_describe(entry, versions[entry.role], aliases_of(client, name, versions[entry.role])) for entry in entries]


def read_decision(artifact: Artifact) -> dict[str, Any]:
    """The content of `decision.json`.

    Raises:
        InputError: it is not what `gate` writes.
    """
    path = artifact.file("decision.json")
    decision = read_object(path)
    check_shape(decision, _DECISION, f"{path} is not what gate writes", "run gate again")
    return decision


def source_uri(artifact: Artifact) -> str:
    """URI of the artifact's own place: that of the store, or of its directory where there is no store."""
    return artifact.reference if "://" in artifact.reference else Path(artifact.reference).resolve().as_uri()


def check_source(source: str, registry_uri: str) -> None:
    """Refuse what an MLflow server would: as source it takes no local path that lies outside of its own directories.

    Raises:
        InputError: a local source for a registry that is reached over HTTP.
    """
    if urlsplit(registry_uri).scheme in ("http", "https") and urlsplit(source).scheme == "file":
        raise InputError(
            f"the MLflow server at {registry_address(registry_uri)} accepts no local path as a model's source, and "
            f"{source} is one; publish to a store that the server's users can reach (STORM_STORE=s3://...), "
            "or set MLFLOW_TRACKING_URI to the database itself (sqlite:///FILE)"
        )


def note_in_store(entry: ModelEntry, registry: str, name: str) -> None:
    """Tell the store that holds the model of the registry, before the latter takes it: garbage collection asks both.

    A store that cannot be written to stops no registration, and a line says so.
    """
    registration = Registration(
        digest=entry.digest,
        registry=registry_address(registry),
        name=name,
        decided_by=tuple(entry.tags[tag] for tag in DECISION_TAGS),
    )
    try:
        store = store_holding(entry.source)
        if store:
            note_registration(store.ledger, registration)
    except (StoreError, OSError) as error:
        report(f"the store of {entry.source} is not told of its registration ({error}); name the registry to `gc`")


def _entry(role: str, inputs: Inputs, decision: Mapping[str, Any]) -> ModelEntry:
    model, evaluation = inputs[f"{role}_model"], read_evaluation(inputs[f"{role}_evaluation"])
    _check_belong_together(role, model, evaluation, decision)
    tags = {
        **dict(zip(DECISION_TAGS, (inputs["decision"].digest, inputs[f"{role}_evaluation"].digest), strict=True)),
        **{f"storm.input.{name}": ",".join(digests) for name, digests in model.manifest.inputs.items()},
    }
    return model_entry(
        role, digest=model.digest, source=source_uri(model), evaluation=evaluation, decision=decision, tags=tags
    )


def _check_belong_together(role: str, model: Artifact, evaluation: Evaluation, decision: Mapping[str, Any]) -> None:
    if evaluation.model_digest != model.digest:
        raise InputError(
            f"{role}_evaluation is of the model {evaluation.model_digest}, but {role}_model is {model.digest}; "
            "give the evaluation of this very model"
        )
    if decision["models"].get(role) != model.digest:
        raise InputError(f"the decision is not about {role}_model {model.digest}; run gate on its evaluation")


def _describe(entry: ModelEntry, version: str, aliases: list[str]) -> dict[str, Any]:
    return {
        "role": entry.role,
        "version": version,
        "digest": entry.digest,
        "source": entry.source,
        "aliases": aliases,
    }
