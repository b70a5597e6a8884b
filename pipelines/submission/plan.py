"""What a run will do, before it does: which tasks the store answers, and what the others read.

The recipe's graph is walked by its one definition, with manifests in place of artifacts. A task is found by its run key
as long as the digests of all its inputs are known; beyond the first task that is computed nothing is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.signatures import REQUIRED
from pipelines.arguments import option_arguments, run_arguments
from pipelines.graph import Graph
from pipelines.storm import build_storm
from pipelines.tasks import TaskSettings
from storm_core.artifacts import Artifact
from storm_core.config import StageConfig
from storm_core.errors import InputError
from storm_core.execution import run_key
from storm_core.manifest import Manifest
from storm_core.run_arguments import argument_of
from storm_core.stage import Inputs, Stage
from storm_core.stages import RERUN, load_stage
from storm_core.stores.references import check_reference, reference_manifest
from storm_core.stores.store import Store

REUSED, COMPUTED, ALWAYS = "reused", "computed", "computed every time"
# Manifests of an input's artifacts; None where they are not known yet.
Known = Sequence[Manifest] | None


@dataclass(frozen=True, kw_only=True)
class PlannedTask:
    """One task of the run.

    Attributes:
        work: whether it is reused or computed.
        read_bytes: sizes of its inputs, where all are known.
        written_bytes: sizes of its outputs, where they are there already.
    """

    name: str
    verb: str
    work: str
    read_bytes: int | None
    written_bytes: int | None


def plan(
    arguments: Mapping[str, Any], store: Store | None, known: Mapping[str, Manifest] | None = None
) -> list[PlannedTask]:
    """Every task of the run with these arguments, in an order in which they can run.

    Args:
        arguments: of the run; references are URIs.
        store: that the run uses.
        known: manifests by URI of what is not in the store yet.

    Raises:
        StoreError: the store cannot be used.
    """
    graph = _PlanGraph(arguments, store, known or {})
    build_storm(graph, score_shards=graph.score_shards)
    return graph.tasks


@dataclass(frozen=True, kw_only=True)
class Handle:
    """What a task of the plan hands on: manifests by output, or None where they are not known."""

    outputs: Mapping[str, Any]
    output: Any = None

    def set_caching_options(self, enable_caching: bool) -> "Handle":
        """The same: a plan has no cache."""
        return self


class _PlanGraph(Graph):
    """A graph whose tasks are looked up and not made."""

    def __init__(self, arguments: Mapping[str, Any], store: Store | None, known: Mapping[str, Manifest]) -> None:
        defaults = {name: one.default for name, one in run_arguments().items() if one.default is not REQUIRED}
        super().__init__({**defaults, **arguments}, TaskSettings())
        self.tasks: list[PlannedTask] = []
        self._store = store
        self._known = known

    def task(self, verb: str, name: str | None = None, **given: Any) -> Handle:
        """Look the task up; options are the run's arguments and what is `given` of them."""
        stage = load_stage(verb)
        options = {option: self.values[argument_of(verb, option)] for option in option_arguments(verb)}
        options |= {option: value for option, value in given.items() if option not in stage.inputs}
        inputs = {one: self._manifests(given.get(one, "")) for one in stage.inputs}
        is_afresh = not {verb, name}.isdisjoint(self.values[RERUN])
        found = None if is_afresh else self._recall(stage, _config(stage, options), inputs)
        work = REUSED if found else COMPUTED if stage.reusable else ALWAYS
        self.tasks.append(
            PlannedTask(
                name=name or verb,
                verb=verb,
                work=work,
                read_bytes=_size_of_all(list(inputs.values())),
                written_bytes=_size_of_all([_outputs(stage, found)]) if found else None,
            )
        )
        nothing = dict.fromkeys([*stage.outputs, *stage.values])
        return found or Handle(outputs=nothing)

    def score_shards(self, *, model: Any, examples: Any, shard_indices: Sequence[int] | None, **given: Any) -> Handle:
        """The loop over the shards; where they are not known, as many as are asked for."""
        rubrics = given["score_rubrics"]
        shards = range(self.values["prepare_shards"]) if shard_indices is None else shard_indices
        scored = [
            self.task("score", f"score {shard}", model=model, examples=examples, rubrics=rubrics, shard=shard)
            for shard in shards
        ]
        verdicts = [one.outputs["verdicts"] for one in scored]
        return Handle(outputs={}, output=None if None in verdicts or shard_indices is None else verdicts)

    def _manifests(self, given: Any) -> Known:
        """What an input is given: nothing, a manifest, several, or the text that names an artifact."""
        if given == "":
            return []
        if isinstance(given, str):
            return self._named(given)
        return [given] if isinstance(given, Manifest) else given

    def _named(self, reference: str) -> Known:
        if reference in self._known:
            return [self._known[reference]]
        # What a hub's reference holds is known once it was downloaded.
        return None if reference.startswith("hf://") else [reference_manifest(reference)]

    def _recall(self, stage: Stage, config: StageConfig, inputs: Mapping[str, Known]) -> Handle | None:
        """What an earlier run left for the same key, looked at without a transfer."""
        if self._store is None or not stage.reusable or any(known is None for known in inputs.values()):
            return None
        entry = self._store.recall(run_key(stage, config, _opened(inputs)))
        try:
            outputs = {name: check_reference(entry["outputs"][name]) for name in stage.outputs} if entry else None
        except InputError:
            return None
        return Handle(outputs={**entry["values"], **outputs}) if entry and outputs else None


def _config(stage: Stage, options: Mapping[str, Any]) -> StageConfig:
    return stage.config(**{name: tuple(value) if isinstance(value, list) else value for name, value in options.items()})


def _opened(inputs: Mapping[str, Known]) -> Inputs:
    """Inputs of which only the digests are looked at."""
    nowhere = Path()
    return Inputs(
        {name: [Artifact(path=nowhere, manifest=one) for one in known or ()] for name, known in inputs.items()}
    )


def _outputs(stage: Stage, found: Handle) -> Known:
    return [found.outputs[name] for name in stage.outputs]


def _size_of_all(groups: Sequence[Known]) -> int | None:
    if any(group is None for group in groups):
        return None
    return sum(entry.size for group in groups for manifest in group or () for entry in manifest.files)
