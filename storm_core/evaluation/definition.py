"""Whether the `definition` of a local task is one: every key known, every template filled, every answer a choice.

All of it is checked before the model is loaded, on all questions: lm-eval looks at the first one, and while it runs.
"""

import copy
import dataclasses
import re
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

from storm_core.errors import InputError, first_line
from storm_core.evaluation.few_shot import check_number_of_examples, samples_of
from storm_core.evaluation.generation_settings import check_generation
from storm_core.evaluation.golds import never_wrong, wrong_golds
from storm_core.evaluation.lm_eval_run import faults
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
    # lm-eval takes an empty doc_to_text there, and no missing one.
    "loglikelihood_rolling": ("doc_to_text", "doc_to_target"),
}
# What the local questions decide.
_DECIDED = ("task", "custom_dataset", "dataset_path", "dataset_name", "dataset_kwargs")
# In lm-eval's own files these are functions (`!function`), which a suite cannot hold; a text it would pass by.
_FUNCTIONS = ("process_docs", "process_results", "doc_to_image", "doc_to_audio")


def local_task(benchmark: LmEval, documents: list[dict[str, Any]]) -> dict[str, Any]:
    """An lm-eval task over documents held in memory, so that nothing is looked up on a hub or cached on disk."""
    from datasets import Dataset

    def data(**_: Any) -> dict[str, Dataset]:
        return {_SPLIT: Dataset.from_list(documents)}

    # lm-eval writes into what it is given.
    definition = copy.deepcopy(dict(_definition(benchmark)))
    if samples_of(definition) is None:
        # So that no question is among its own examples.
        definition["fewshot_split"] = _SPLIT
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
    check_generation(definition, where)
    check_number_of_examples(benchmark, definition, len(documents))
    task = _unloaded(definition, sorted(documents[0]), where)
    for key in ("doc_to_text", "doc_to_choice", "doc_to_target"):
        if definition.get(key) is not None:
            _check_template(task, key, definition, documents, where)
    # One after the other: what has no right answer may be anything.
    for wrong in chain(wrong_golds(task, documents), never_wrong(task, documents)):
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
    if decided := [key for key in _DECIDED if definition.get(key) is not None]:
        raise InputError(f"{where} has {decided[0]!r}, which the local questions decide; leave it out")
    if functions := [key for key in _FUNCTIONS if definition.get(key) is not None]:
        raise InputError(f"{where}, {functions[0]} is a function in lm-eval's own files, which a suite cannot hold")
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


def _unloaded(definition: Mapping[str, Any], columns: list[str], where: str) -> "ConfigurableTask":
    """A task that reads questions as lm-eval does and has none: what is wrong with one is found out by asking."""
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.config.task import TaskConfig

    try:
        config = TaskConfig(**copy.deepcopy(dict(definition)))
    except faults() as error:
        raise InputError(f"{where} is no task of lm-eval: {type(error).__name__}: {first_line(error)}") from error

    task = ConfigurableTask.__new__(ConfigurableTask)
    task._config = config
    task.features = columns
    task.prompt = None
    return task


def _check_template(
    task: "ConfigurableTask", key: str, definition: Mapping[str, Any], documents: list[dict[str, Any]], where: str
) -> None:
    value = definition[key]
    kind = definition.get("output_type", "generate_until")
    filled = [_filled(task, key, value, documents, number, where) for number in range(len(documents))]
    is_prompt = key == "doc_to_text" and kind != "loglikelihood_rolling"
    is_constant = isinstance(value, str) and value not in documents[0] and not re.search("{{|{%", value)
    are_different = any(document["question"] != documents[0]["question"] for document in documents)
    says_nothing = is_prompt and are_different and all(isinstance(one, str) and one == filled[0] for one in filled)
    if says_nothing or (is_constant and (is_prompt or (key == "doc_to_target" and kind != "multiple_choice"))):
        raise InputError(f"{where}, {key} is the same text for all questions, {filled[0]!r}; {_columns(documents)}")
    if key == "doc_to_choice" and any(isinstance(one, list) and len(one) < 2 for one in filled):
        raise InputError(f"{where}, doc_to_choice gives fewer than two choices, of which the first is always right")


def _filled(
    task: "ConfigurableTask", key: str, value: Any, documents: list[dict[str, Any]], number: int, where: str
) -> Any:
    """What the template `key` makes of one of the questions."""
    document = documents[number]
    try:
        return getattr(task, key)(document)
    except faults() as error:
        raise InputError(
            f"{where}, {key} cannot be made of question {number + 1} ({document['question']!r}): {value!r} fails with "
            f"{type(error).__name__}: {first_line(error)}; {_columns(documents)}"
        ) from error


def _columns(documents: list[dict[str, Any]]) -> str:
    return f"name one of {', '.join(sorted(documents[0]))}, or write a template such as '{{{{question}}}}'"


def _check_whole(benchmark: LmEval, documents: list[dict[str, Any]], where: str) -> None:
    """Have lm-eval make the task, which tells what else is wrong with the definition, and look for the metrics."""
    from lm_eval.api.task import ConfigurableTask

    try:
        task = ConfigurableTask(config=local_task(benchmark, documents))
    except faults() as error:
        raise InputError(f"{where} is no task of lm-eval: {type(error).__name__}: {first_line(error)}") from error
    check_metrics(benchmark.name, benchmark.task, task, (benchmark.metric, *benchmark.also))
