"""The nodes that a training asks a cluster for, as a variable of the component says it: one JSON object."""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from storm_core.errors import InputError

# Set by the pipeline where the profile has `training_nodes`. Its fields and defaults are those of `TrainingNodes`.
NODES_VARIABLE = "STORM_TRAINING_NODES"
VERBS = ("train",)
RUNTIME = "storm-training"
RUNTIME_KINDS = ("TrainingRuntime", "ClusterTrainingRuntime")
UNFOLLOWED_MINUTES = 15.0


@dataclass(frozen=True, kw_only=True)
class TrainingNodes:
    """What the nodes are, and how many; what lies in `pod` and the like is as Kubernetes has it.

    Attributes:
        count: how many nodes, each one pod.
        processes: of torchrun on each node: as many as it has devices.
        runtime: name of the runtime.
        runtime_kind: that of the namespace, or of all namespaces.
        image: what the nodes run; None for that of the component.
        unfollowed_minutes: after which a training that nobody follows ends itself.
        deadline_seconds: after which Trainer ends the job, not counting what it waits in a queue; None for never.
        resources: requests and limits of each node.
        pod: fields of the pod: nodeSelector, affinity, tolerations, volumes.
        volume_mounts: of the container.
        environment: variables besides those that the component has.
        labels: of job and pods; those of Kueue, such as the queue's name, of the job alone.
        annotations: of the pods.
    """

    count: int
    processes: int = 1
    runtime: str = RUNTIME
    runtime_kind: str = RUNTIME_KINDS[0]
    image: str | None = None
    unfollowed_minutes: float = UNFOLLOWED_MINUTES
    deadline_seconds: int | None = None
    resources: Mapping[str, Any] = field(default_factory=dict)
    pod: Mapping[str, Any] = field(default_factory=dict)
    volume_mounts: tuple[Mapping[str, Any], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    def in_words(self) -> str:
        """`2 nodes of 8 processes`."""
        nodes = "1 node" if self.count == 1 else f"{self.count} nodes"
        return f"{nodes} of {self.processes} process{'es' if self.processes > 1 else ''}"


def nodes_for(verb: str) -> TrainingNodes | None:
    """The nodes that a stage is to run on; None where it runs in this process.

    Raises:
        InputError: the variable holds no such object.
    """
    text = os.environ.get(NODES_VARIABLE)
    return read_nodes(text) if text and verb in VERBS else None


def read_nodes(text: str) -> TrainingNodes:
    """The nodes of a JSON object.

    Raises:
        InputError: it is none, or a field is unknown, missing or of a wrong kind.
    """
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise InputError(f'{NODES_VARIABLE} must be a JSON object such as {{"count": 2}}, got {text:.80}')
    known = {one.name for one in dataclasses.fields(TrainingNodes)}
    if unknown := sorted(set(given) - known):
        raise InputError(f"{NODES_VARIABLE} has no field {unknown[0]}; there are {', '.join(sorted(known))}")
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    _check(given)
    return TrainingNodes(**given)


def _check(given: Mapping[str, Any]) -> None:
    for name in ("count", "processes"):
        value = given.get(name, 1 if name == "processes" else None)
        if type(value) is not int or value < 1:
            raise InputError(f"{NODES_VARIABLE}: {name} must be a whole number above 0, got {value!r}")
    minutes = given.get("unfollowed_minutes", UNFOLLOWED_MINUTES)
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or not minutes > 0:
        raise InputError(f"{NODES_VARIABLE}: unfollowed_minutes must be a number above 0, got {minutes!r}")
    for name, kind in get_type_hints(TrainingNodes).items():
        wanted = {Mapping[str, Any]: dict, Mapping[str, str]: dict, tuple[Mapping[str, Any], ...]: tuple}.get(kind)
        if name in given and wanted and not isinstance(given[name], wanted):
            raise InputError(f"{NODES_VARIABLE}: {name} must be a JSON {'list' if wanted is tuple else 'object'}")
