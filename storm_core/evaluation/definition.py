"""Whether the `definition` of a local task is one: every key known, every template filled, every answer a choice.

All of it is checked before the model is loaded, on all questions: lm-eval looks at the first one, and while it runs.
"""

import copy
import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from storm_core.errors import InputError, first_line
from storm_core.evaluation.golds import wrong_golds
from storm_core.evaluation.metric_keys import check_metrics
from storm_core.evaluation.suite import LmEval

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask

_SPLIT = "test"
# What lm-eval needs of each kind of task; it has a default for the rest.
_REQUIRED = {
    "multiple_choice": ("doc_to_text", "doc_to_choice", "doc_to_target"),
    "generate_until": ("doc_to_text", "doc_to_target"),
    "loglikelihood": ("doc_to_text", "doc_to_target"),
    "loglikelihood_rolling": ("doc_to_target",),
}


def local_task(benchmark: LmEval, documents: list[dict[str, Any]]) -> dict[str, Any]:
    """An lm-eval task over documents held in memory, so that nothing is looked up on a hub or cached on disk."""
    from datasets import Dataset

    def data(**_: Any) -> dict[str, Dataset]:
        return {_SPLIT: Dataset.from_list(documents)}

    # lm-eval writes into what it is given.
    definition = copy.deepcopy(dict(_definition(benchmark)))
    return {**definition, "task": benchmark.task, "custom_dataset": data, "test_split": _SPLIT}


def check_definition(benchmark: LmEval, documents: list[dict[str, Any]]) -> None:
    """Refuse a local task that lm-eval could not run on `documents`, or would give 0 whatever is answered.

    Raises:
        InputError: names the benchmark, the key, and where it is about a question, which one and the value.
    """
    definition = _definition(benchmark)
    where = f"{benchmark.name}: definition"
    _check_keys(definition, where)
    _check_metrics(definition, where)
    task = _unloaded(definition, sorted(documents[0]))
    for key in ("doc_to_text", "doc_to_choice", "doc_to_target"):
        if definition.get(key) is not None:
            _check_template(task, key, definition, documents, where)
    for wrong in wrong_golds(task, documents):
        raise InputError(f"{where}: {wrong}")
    _check_whole(benchmark, documents, where)


def _definition(benchmark: LmEval) -> Mapping[str, Any]:
    if benchmark.questions is None:
        raise ValueError(f"{benchmark.name} is a task of lm-eval's own")
    return benchmark.questions.definition


def _check_keys(definition: Mapping[str, Any], where: str) -> None:
    from lm_eval.config.task import TaskConfig

    known = [field.name for field in dataclasses.fields(TaskConfig)]
    if unknown := [key for key in definition if key not in known]:
        raise InputError(f"{where} has the unknown setting {unknown[0]!r}; lm-eval's are {', '.join(known)}")
    kind = definition.get("output_type", "generate_until")
    if kind not in _REQUIRED:
        raise InputError(f"{where}, output_type must be one of {', '.join(_REQUIRED)}, got {kind!r}")
    if missing := [key for key in _REQUIRED[kind] if definition.get(key) is None]:
        raise InputError(f"{where} lacks the setting {missing[0]!r}, which {kind} needs")
    for key, value in definition.items():
        if key.endswith("_split") and value not in (None, _SPLIT):
            raise InputError(f"{where}, {key} must be {_SPLIT!r}, the split of the local questions, got {value!r}")


def _check_metrics(definition: Mapping[str, Any], where: str) -> None:
    from lm_eval.api import metrics  # noqa: F401 (it registers them)
    from lm_eval.api.registry import AGGREGATION_REGISTRY, METRIC_REGISTRY

    listed = definition.get("metric_list")
    if listed is None:
        return
    if not isinstance(listed, list) or not all(isinstance(entry, dict) and "metric" in entry for entry in listed):
        raise InputError(f"{where}, metric_list must be a list of mappings with the key metric, got {listed!r}")
    for entry in listed:
        for key, registry in (("metric", METRIC_REGISTRY), ("aggregation", AGGREGATION_REGISTRY)):
            if key in entry and entry[key] not in registry:
                known = ", ".join(sorted(registry.keys()))
                raise InputError(f"{where}, metric_list: unknown {key} {entry[key]!r}; lm-eval's are {known}")


def _unloaded(definition: Mapping[str, Any], columns: list[str]) -> "ConfigurableTask":
    """A task that reads questions as lm-eval does and has none: what is wrong with one is found out by asking."""
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.config.task import TaskConfig

    task = ConfigurableTask.__new__(ConfigurableTask)
    task._config = TaskConfig(**copy.deepcopy(dict(definition)))
    task.features = columns
    task.prompt = None
    return task


def _check_template(
    task: "ConfigurableTask", key: str, definition: Mapping[str, Any], documents: list[dict[str, Any]], where: str
) -> None:
    value = definition[key]
    is_constant = isinstance(value, str) and value not in documents[0] and not re.search("{{|{%", value)
    kind = definition.get("output_type", "generate_until")
    if is_constant and (key == "doc_to_text" or (key == "doc_to_target" and kind != "multiple_choice")):
        raise InputError(f"{where}, {key} is the same text for all questions, {value!r}; {_columns(documents)}")
    for number, document in enumerate(documents, start=1):
        try:
            getattr(task, key)(document)
        except _faults() as error:
            raise InputError(
                f"{where}, {key} cannot be made of question {number} ({document['question']!r}): {value!r} fails with "
                f"{type(error).__name__}: {first_line(error)}; {_columns(documents)}"
            ) from error


def _columns(documents: list[dict[str, Any]]) -> str:
    return f"name one of {', '.join(sorted(documents[0]))}, or write a template such as '{{{{question}}}}'"


def _check_whole(benchmark: LmEval, documents: list[dict[str, Any]], where: str) -> None:
    """Have lm-eval make the task, which tells what else is wrong with the definition, and look for the metrics."""
    from lm_eval.api.task import ConfigurableTask

    try:
        task = ConfigurableTask(config=local_task(benchmark, documents))
    except _faults() as error:
        raise InputError(f"{where} is no task of lm-eval: {type(error).__name__}: {first_line(error)}") from error
    check_metrics(benchmark.name, benchmark.task, task, (benchmark.metric, *benchmark.also))


def _faults() -> tuple[type[Exception], ...]:
    """What lm-eval raises over a definition, which it takes on trust."""
    from jinja2 import TemplateError

    return (TemplateError, TypeError, ValueError, LookupError, AttributeError, SyntaxError, AssertionError, re.error)
