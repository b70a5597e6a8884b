"""What a stage is: a verb, its config, its inputs and outputs, and where its `run` function lives.

Each room declares its stages in `config.py`, which imports the standard library only, so that a component or `storm
--help` can read a declaration without loading torch. `run` is named by a string and imported when the stage runs.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from storm_core.artifacts import Artifact
from storm_core.config import StageConfig


@dataclass(frozen=True, kw_only=True)
class Input:
    """An artifact a stage reads.

    Attributes:
        many: it takes a list of references.
        optional: it may be left out.
        external: whoever starts the recipe names it; the others are what another stage wrote.
    """

    kind: str
    help: str
    many: bool = False
    optional: bool = False
    external: bool = False


@dataclass(frozen=True, kw_only=True)
class Output:
    """An artifact a stage writes into an empty directory."""

    kind: str
    help: str


@dataclass(frozen=True, kw_only=True)
class Value:
    """A small JSON value a stage hands on besides artifacts: text, or a list of one type."""

    type: type
    help: str


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One verb of the recipe.

    Attributes:
        run: `package.module:function`, called as `run(config, inputs, outputs)` and returning `Results`.
        values: what the stage hands on besides artifacts, by name. `<output>_reference` is filled in with the reference
            of that output; every other one comes from `Results.values`.
        reusable: whether an earlier output for the same code, packages, config and inputs may stand in for running
            again; `storm_core.code_identity` says what code and packages that is.
        resumable: whether `run` takes a fourth argument, the `Workspace`, and continues from the partial
            results that an attempt which was killed left there.
        parallel: whether several processes, started by torchrun, may run it together; the outputs are then the main
            one's.
    """

    verb: str
    summary: str
    config: type[StageConfig]
    inputs: Mapping[str, Input]
    outputs: Mapping[str, Output]
    run: str
    values: Mapping[str, Value] = field(default_factory=dict)
    reusable: bool = True
    resumable: bool = False
    parallel: bool = False

    def load(self) -> Callable[..., "Results"]:
        """The function that `run` names."""
        module, _, function = self.run.partition(":")
        loaded: Callable[..., Results] = getattr(importlib.import_module(module), function)
        return loaded


@dataclass(frozen=True, kw_only=True)
class Results:
    """What `run` returns.

    Attributes:
        metrics: name to number, logged and kept in the manifest.
        values: for later stages.
        complete: False where the same run may do better another time; its outputs are then not used again in its place.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = True


class Inputs:
    """The opened artifacts of a stage, by input name."""

    def __init__(self, artifacts: Mapping[str, list[Artifact]]) -> None:
        self._artifacts = artifacts

    def __getitem__(self, name: str) -> Artifact:
        (artifact,) = self._artifacts[name]
        return artifact

    def get(self, name: str) -> Artifact | None:
        """The artifact of an optional input, or None where it was left out."""
        return self[name] if self._artifacts.get(name) else None

    def many(self, name: str) -> list[Artifact]:
        """The artifacts of an input that takes several, in the order given."""
        return list(self._artifacts[name])

    def digests(self) -> dict[str, list[str]]:
        """Digest of every artifact, by input name: the lineage of what the stage writes."""
        return {name: [artifact.digest for artifact in artifacts] for name, artifacts in self._artifacts.items()}

    def references(self) -> dict[str, list[str]]:
        """What names every artifact, by input name, in the order of `digests`."""
        return {name: [artifact.reference for artifact in artifacts] for name, artifacts in self._artifacts.items()}
