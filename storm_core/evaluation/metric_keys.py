"""Which number of a task of lm-eval a suite's `metric` names: `acc`, or with a filter `exact_match,strict-match`.

A task computes each of its metrics once for each of its filters, which take the answer out of a reply each in its way.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from storm_core.errors import InputError

if TYPE_CHECKING:
    from lm_eval.api.task import Task

# The filter of a task that names none.
_UNFILTERED = "none"


def check_metrics(benchmark: str, name: str, task: "Task", metrics: Iterable[str]) -> None:
    """Refuse the task `name` that has not all of the metrics."""
    for metric in metrics:
        key_of(benchmark, name, metric, _keys_of_task(task))


def key_of(benchmark: str, task: str, metric: str, keys: Iterable[str]) -> str:
    """Which of a task's `keys`, each `METRIC,FILTER`, is meant by `metric`.

    Raises:
        InputError: none is, or several are; the message lists what there is.
    """
    known = sorted(keys)
    if metric in known:
        return metric
    same = [key for key in known if key.partition(",")[0] == metric]
    if f"{metric},{_UNFILTERED}" in same:
        return f"{metric},{_UNFILTERED}"
    if len(same) == 1:
        return same[0]
    listed = "; ".join(key.removesuffix(f",{_UNFILTERED}") for key in same or known)
    if same:
        raise InputError(f"{benchmark}: {task} has the metric {metric!r} for several filters: write one of {listed}")
    there = listed or "none: an empty filter_list, or a metric of another kind of task?"
    raise InputError(f"{benchmark}: {task} has no metric {metric!r}; it has {there}")


def keys_of_results(found: Mapping[str, Any]) -> list[str]:
    """The keys of the scores that lm-eval computed for a task."""
    return [key for key in found if "," in key and not key.partition(",")[0].endswith("_stderr")]


def _keys_of_task(task: "Task") -> list[str]:
    """The keys of the scores that lm-eval will compute for a task."""
    filters = [one.name for one in task._filters]  # It tells them in no other way.
    return [f"{metric},{one}" for metric in task.aggregation() for one in filters]
