"""What the parent run carries, so that two runs compare in one table: the recipe's arguments, and headline numbers."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from storm_core.config import StageConfig
from storm_core.run_arguments import argument_of, is_run_argument
from storm_core.tracking.work import Work

# By verb, the metric of the stage and what the parent run calls it.
_HEADLINES = {
    "select": {"kept": "rows_kept"},
    "train": {"tokens_trained": "tokens_trained"},
    "gate": {"passed": "gate_passed"},
}
_EVALUATE, _MEAN = "evaluate", "mean"


def headlines(work: Work, metrics: Mapping[str, float]) -> dict[str, float]:
    """The headline numbers among the metrics of a stage, by their names on the parent run.

    `rows_kept`, `tokens_trained`, `gate_passed`, and of the task `evaluate-<model>` the mean of its benchmarks as
    `<model>_average`.
    """
    names = dict(_HEADLINES.get(work.verb, {}))
    model = work.task.removeprefix(f"{_EVALUATE}-")
    if work.verb == _EVALUATE and model != work.task:
        names[_MEAN] = f"{model}_average"
    return {name: metrics[metric] for metric, name in names.items() if metric in metrics}


def arguments(work: Work, config: StageConfig) -> dict[str, str]:
    """The run's arguments that this stage knows: its options, and what was given to it from outside the graph."""
    options = {
        argument_of(work.verb, option): text
        for option, text in option_texts(config).items()
        if is_run_argument(work.verb, option)
    }
    return {**_references(work), **options}


def option_texts(config: StageConfig) -> dict[str, str]:
    """Every option of `config` as a parameter's text."""
    return {name: parameter_text(value) for name, value in dataclasses.asdict(config).items()}


def parameter_text(value: Any) -> str:
    """A value as MLflow's tables show it."""
    return json.dumps(value) if isinstance(value, tuple | list | bool) else str(value)


def _references(work: Work) -> dict[str, str]:
    model = work.task.removeprefix("fetch-")
    names = {
        ("prepare", "data"): "data",
        ("score", "rubrics"): "score_rubrics",
        ("train", "held_out"): "train_held_out",
        ("fetch", "source"): f"{model}_model" if model != work.task else None,
    }
    given = {name: work.given.get(name, ()) for verb, name in names if verb == work.verb}
    return {
        argument: ",".join(given[name])
        for (verb, name), argument in names.items()
        if verb == work.verb and argument and given[name]
    }
