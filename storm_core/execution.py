"""Run one stage: open its inputs, run or reuse, seal and publish its outputs, log to MLflow.

Outputs are written to a hidden directory beside their destination and renamed when whole, so that a stage that fails or
is killed leaves nothing that looks finished.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from storm_core import __version__
from storm_core.artifacts import Artifact, seal
from storm_core.cluster.command import stage_command
from storm_core.cluster.followers import while_followed
from storm_core.cluster.inputs import named_input
from storm_core.cluster.nodes import TrainingNodes, nodes_for
from storm_core.cluster.request import JobRequest
from storm_core.code_identity import code_identity
from storm_core.config import StageConfig, deciding_options
from storm_core.destinations import beside, check_files, check_outputs, replace_directory, staging
from storm_core.errors import InputError
from storm_core.heartbeat import activity
from storm_core.json_objects import ANYTHING, NUMBER, TEXT, Each, Shape, check_shape
from storm_core.log_lines import TASK_NAME_VARIABLE
from storm_core.machine_errors import NamesFullDisk
from storm_core.manifest import MANIFEST_NAME, Manifest, read_manifest, write_manifest
from storm_core.places import followed
from storm_core.process_group import together
from storm_core.progress import report
from storm_core.stage import Inputs, Stage
from storm_core.stores.leases import RUN_LEASES, held
from storm_core.stores.partial_results import DirectoryPartialResults, PartialResults
from storm_core.stores.references import check_reference, open_reference, store_from_environment
from storm_core.stores.store import Store
from storm_core.stores.uses import note_uses
from storm_core.tracking import StageRun, Work, track
from storm_core.workspace import Workspace


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a stage run left: its outputs' manifests, metrics and values, and whether they are an earlier run's."""

    manifests: Mapping[str, Manifest]
    metrics: Mapping[str, float]
    values: Mapping[str, Any]
    reused: bool
    seconds: float


def execute(
    stage: Stage,
    config: StageConfig,
    inputs: Mapping[str, list[str]],
    outputs: Mapping[str, Path],
    value_files: Mapping[str, Path],
    *,
    afresh: bool = False,
) -> Outcome:
    """Run `stage` on the referenced inputs and leave an artifact at each output path, a JSON value at each value file.

    With `STORM_STORE` set the content goes to the store and the output directory holds its manifest alone. With
    `afresh` an earlier result does not stand in for running; what this run leaves then replaces it.

    Raises:
        InputError: an input cannot be opened or is of the wrong kind, or an output path holds foreign files.
    """
    started = time.monotonic()
    store = store_from_environment()
    nodes = nodes_for(stage.verb)
    places = {name: followed(path) for name, path in outputs.items()}
    given = list(chain.from_iterable(inputs.values()))
    check_outputs(places, given)
    check_files(list(value_files.values()), places, given)
    opened = open_inputs(stage, inputs, partial(named_input, store) if nodes else None)
    key = run_key(stage, config, opened)
    task = os.environ.get(TASK_NAME_VARIABLE, stage.verb)
    work = Work(verb=stage.verb, task=task, key=key, inputs=opened.digests(), given=inputs)
    near = beside(next(iter(places.values())))
    alone = contextlib.nullcontext() if nodes else _alone(stage, opened, store, key)
    recall = partial(_recall, stage, store, key, places)
    with (
        together(stage) as tell,
        track(work, config, store.ledger if store else None, near) as run,
        alone,
        while_followed(store, key),
    ):
        with activity("look for an earlier result"):
            recalled = None if afresh else recall()
        tell(recalled is None)
        if recalled is None and nodes and store:
            command = stage_command(stage, config, opened, afresh=afresh)
            request = JobRequest(key=key, command=command, environment=_of_run(stage, run), afresh=afresh)
            outcome = _on_nodes(nodes, request, store, recall)
        else:
            outcome = recalled or _produce(stage, config, opened, places, store, key)
        if stage.resumable:
            # Of what is recalled too: that run may have been killed once its outputs were published.
            _open_partial_results(key, stage, places, store).clear()
        outcome = replace(outcome, seconds=time.monotonic() - started)
        with NamesFullDisk({path: path for path in (*places.values(), *value_files.values())}):
            _deliver(outcome, places, value_files, in_store=store is not None)
        _log(run, outcome)
        tell(True)
    return outcome


def _on_nodes(nodes: TrainingNodes, request: JobRequest, store: Store, recall: Callable[[], Outcome | None]) -> Outcome:
    """What nodes of the cluster leave in the store; with it comes Kubernetes' client, which no other stage needs."""
    from storm_core.cluster.training import train_on_nodes

    return replace(train_on_nodes(nodes, request, store.ledger, recall), reused=False)


def _of_run(stage: Stage, run: StageRun) -> dict[str, str]:
    """Variables by which the nodes go on with this run: the task's name, and where its numbers go."""
    return {TASK_NAME_VARIABLE: os.environ.get(TASK_NAME_VARIABLE, stage.verb), **run.environment()}


def open_inputs(
    stage: Stage, references: Mapping[str, list[str]], open_one: Callable[[str, str], Artifact] | None = None
) -> Inputs:
    """Open and verify every input of `stage`, by `open_one` where its reference and kind are to lead elsewhere.

    Raises:
        InputError: a required input is missing, one cannot be opened, or one is of another kind.
    """
    artifacts = {}
    for name, declared in stage.inputs.items():
        given = references.get(name, [])
        if not given and not declared.optional:
            raise InputError(f"{stage.verb} needs {name}: {declared.help}")
        with activity(f"open {name}"):
            artifacts[name] = [
                open_one(reference, declared.kind) if open_one else open_reference(reference) for reference in given
            ]
        for reference, artifact in zip(given, artifacts[name], strict=True):
            if artifact.manifest.kind not in ("", declared.kind):
                found = artifact.manifest.kind
                raise InputError(f"{name} must be a {declared.kind} artifact, but {reference} is of kind {found!r}")
    return Inputs(artifacts)


def run_key(stage: Stage, config: StageConfig, inputs: Inputs) -> str:
    """SHA-256 over verb, code, packages, config and input digests: runs of equal keys stand for each other."""
    identity = {**_identity(stage, config), "inputs": inputs.digests()}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _identity(stage: Stage, config: StageConfig) -> dict[str, Any]:
    """What decides the outputs besides the inputs; a changed stage never answers with old results."""
    return {"verb": stage.verb, **code_identity(stage), "config": deciding_options(config)}


@contextlib.contextmanager
def _alone(stage: Stage, inputs: Inputs, store: Store | None, key: str) -> Iterator[None]:
    """Keep other processes that share the store from the same work at the same time: they then reuse its result."""
    if store is None:
        yield
        return
    task = os.environ.get(TASK_NAME_VARIABLE, stage.verb)
    about = {"verb": stage.verb, "task": task, "inputs": sorted(set(chain.from_iterable(inputs.digests().values())))}

    def say(holder: Mapping[str, Any]) -> None:
        report(f"{stage.verb}: waits for {holder['task']}, which does the same work")

    with held(store.ledger, f"{RUN_LEASES}/{key}", about=about, waits=say):
        yield


def _recall(stage: Stage, store: Store | None, key: str, outputs: Mapping[str, Path]) -> Outcome | None:
    """An earlier run's outcome for the same key, its content verified again; None where there is none."""
    if not stage.reusable:
        return None
    try:
        entry = store.recall(key) if store else _recall_in_place(key, outputs)
        if entry is None:
            return None
        shape: Shape = {"outputs": dict.fromkeys(outputs, TEXT), "metrics": Each(NUMBER), "values": Each(ANYTHING)}
        check_shape(entry, shape, "what is remembered of it", "it is made again")
        if store:
            note_uses(store.ledger, [entry["outputs"][name].rpartition("/")[2] for name in outputs], stage.verb)
        manifests = {name: check_reference(entry["outputs"][name]) for name in outputs}
    except (ValueError, RecursionError) as error:  # What a store remembers may be damaged.
        report(f"{stage.verb}: runs again, the earlier result cannot be used: {error}")
        return None
    return Outcome(manifests=manifests, metrics=entry["metrics"], values=entry["values"], reused=True, seconds=0.0)


def _recall_in_place(key: str, outputs: Mapping[str, Path]) -> dict[str, Any] | None:
    """Without a store: the finished outputs that lie at their paths already, when all of them carry this key."""
    manifests = [read_manifest(path / MANIFEST_NAME) for path in outputs.values() if (path / MANIFEST_NAME).is_file()]
    if len(manifests) != len(outputs) or any(manifest.producer.get("key") != key for manifest in manifests):
        return None
    references = {name: str(path) for name, path in outputs.items()}
    return {"outputs": references, "metrics": manifests[0].metrics, "values": manifests[0].producer.get("values")}


def _produce(
    stage: Stage,
    config: StageConfig,
    inputs: Inputs,
    outputs: Mapping[str, Path],
    store: Store | None,
    key: str,
) -> Outcome:
    with contextlib.ExitStack() as stack:
        staged = {name: stack.enter_context(staging(path, store)) for name, path in outputs.items()}
        shown = {directory: directory.parent if store else outputs[name] for name, directory in staged.items()}
        stack.enter_context(NamesFullDisk(shown))
        workspace = workspace_of(key, stage, outputs, store)
        results = stage.load()(config, inputs, staged, *([workspace] if stage.resumable else []))
        _check_results(stage, results.metrics, results.values)
        found_again = {"key": key} if results.complete else {}
        producer = {
            "version": __version__,
            **_identity(stage, config),
            **found_again,
            "values": dict(results.values),
        }
        manifests = {
            name: seal(
                directory,
                stage.outputs[name].kind,
                producer=producer,
                inputs=inputs.digests(),
                references=inputs.references(),
                metrics=results.metrics,
            )
            for name, directory in staged.items()
        }
        if store:
            note_uses(store.ledger, [manifest.digest for manifest in manifests.values()], stage.verb)
        for name, directory in staged.items():
            if store:
                manifests[name] = replace(manifests[name], uri=store.publish(directory, manifests[name]).uri)
            else:
                replace_directory(directory, outputs[name])
    if store and stage.reusable and results.complete:
        references = {name: manifest.uri for name, manifest in manifests.items()}
        store.remember(key, {"outputs": references, "metrics": results.metrics, "values": results.values})
    return Outcome(manifests=manifests, metrics=results.metrics, values=results.values, reused=False, seconds=0.0)


def workspace_of(key: str, stage: Stage, outputs: Mapping[str, Path], store: Store | None) -> Workspace:
    """What a run with this key finds of an earlier attempt, and leaves for the next one."""
    return Workspace(run_key=key, open_partial_results=lambda name: _open_partial_results(name, stage, outputs, store))


def _open_partial_results(key: str, stage: Stage, outputs: Mapping[str, Path], store: Store | None) -> PartialResults:
    """The partial results under `key`: in the store, or hidden beside the stage's first output."""
    if store:
        return store.partial_results(key)
    first = next(iter(outputs.values()))
    return DirectoryPartialResults(beside(first) / f".{stage.verb}.parts" / key)


def _check_results(stage: Stage, metrics: Mapping[str, float], values: Mapping[str, Any]) -> None:
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise ValueError(f"{stage.verb} computed {name} = {value}; a metric must be finite")
    declared = {name for name in stage.values if name.removesuffix("_reference") not in stage.outputs}
    if set(values) != declared:
        raise ValueError(f"{stage.verb} returned the values {sorted(values)}, but declares {sorted(declared)}")


def _deliver(outcome: Outcome, outputs: Mapping[str, Path], value_files: Mapping[str, Path], *, in_store: bool) -> None:
    references = {}
    for name, path in outputs.items():
        manifest = outcome.manifests[name]
        if in_store:
            path.mkdir(parents=True, exist_ok=True)
            write_manifest(path, manifest)
        references[f"{name}_reference"] = manifest.uri or str(path.resolve())
    values = {**outcome.values, **references}
    for name, path in value_files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        value = values[name]
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


def _log(run: StageRun, outcome: Outcome) -> None:
    run.log_results(outcome.metrics)
    tags = {"storm.reused": str(outcome.reused).lower()}
    for name, manifest in outcome.manifests.items():
        tags |= {f"storm.output.{name}.digest": manifest.digest, f"storm.output.{name}.uri": manifest.uri or ""}
    run.set_tags(tags)
