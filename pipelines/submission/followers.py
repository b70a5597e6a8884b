"""Which tasks follow a stage in the recipe's graph."""

from typing import Any

from pipelines.arguments import run_arguments
from pipelines.graph import Graph
from pipelines.storm import build_storm
from pipelines.submission.plan import Handle
from pipelines.tasks import TaskSettings
from storm_core.errors import InputError
from storm_core.stages import STAGES, load_stage

_Verbs = frozenset[str]


def with_followers(verb: str) -> list[str]:
    """The tasks of the stage `verb`, and all that read what these make, directly or by way of others.

    Raises:
        InputError: there is no such verb.
    """
    if verb not in STAGES:
        raise InputError(f"--rerun must be one of {', '.join(STAGES)}; got {verb!r}")
    graph = _Ancestry()
    build_storm(graph, score_shards=graph.score_shards)
    return sorted(name for name, verbs in graph.verbs.items() if verb in verbs)


class _Ancestry(Graph):
    """A graph whose artifacts are the verbs that they were made by."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(run_arguments()), TaskSettings())
        self.verbs: dict[str, _Verbs] = {}

    def task(self, verb: str, name: str | None = None, **given: Any) -> Handle:
        """Note the verbs before the task and its own."""
        stage = load_stage(verb)
        before = (verbs for verbs in given.values() if isinstance(verbs, frozenset))
        found = self.verbs[name or verb] = frozenset([verb]).union(*before)
        return Handle(outputs=dict.fromkeys([*stage.outputs, *stage.values], found))

    def score_shards(self, *, model: _Verbs, examples: _Verbs, **_: Any) -> Handle:
        """The loop over the shards, each of which is the same task."""
        return Handle(outputs={}, output=self.task("score", model=model, examples=examples).outputs["verdicts"])
