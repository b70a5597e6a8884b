"""Examples before a question: never the question itself.

lm-eval leaves a question out of its own examples only where the task says that they come from the split that is asked
about (`fewshot_split`). Where the task says nothing and has no split to learn from, it takes them from that split too,
the question with its answer among them.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from storm_core.errors import InputError
from storm_core.evaluation.suite import LmEval
from storm_core.progress import report

if TYPE_CHECKING:
    from lm_eval.api.task import Task


def check_number_of_examples(benchmark: LmEval, definition: Mapping[str, Any], documents: int) -> None:
    """Refuse more examples than there are besides the question, or two numbers of them.

    Args:
        benchmark: whose `num_fewshot` counts.
        definition: of its local task, which may have a number too, and samples of its own.
        documents: how many questions there are.

    Raises:
        InputError: says how many there are.
    """
    defined = definition.get("num_fewshot")
    if benchmark.num_fewshot is not None and defined not in (None, benchmark.num_fewshot):
        raise InputError(
            f"{benchmark.name}: definition, num_fewshot is {defined!r} and the benchmark's is {benchmark.num_fewshot}; "
            "leave one out"
        )
    wanted = defined if benchmark.num_fewshot is None else benchmark.num_fewshot
    if wanted is not None and (not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 0):
        raise InputError(f"{benchmark.name}: definition, num_fewshot must be a count, got {wanted!r}")
    samples = samples_of(definition)
    there = len(samples) if isinstance(samples, list) else documents - 1
    if (wanted or 0) > there:
        what = "samples in fewshot_config" if isinstance(samples, list) else "other questions"
        raise InputError(f"{benchmark.name}: num_fewshot is {wanted}, and there are only {there} {what}")


def samples_of(definition: Mapping[str, Any]) -> Any:
    """The examples that a definition brings itself; None where it brings none."""
    given = definition.get("fewshot_config")
    return given.get("samples") if isinstance(given, Mapping) else None


def leave_out_own_question(benchmark: LmEval, name: str, task: "Task") -> None:
    """Have lm-eval's task `name` take no question for its own example; a line says so where it would have."""
    from lm_eval.api.task import ConfigurableTask

    if not isinstance(task, ConfigurableTask):
        return
    wanted = task.config.num_fewshot if benchmark.num_fewshot is None else benchmark.num_fewshot
    if not wanted or not _takes_from_questions(task) or task.fewshot_cfg.split == task.config.test_split:
        return
    # lm-eval compares these two, and looks at the first no more for where the examples are.
    task.fewshot_cfg.split = task.config.test_split
    report(
        f"{benchmark.name}: the examples before the questions of {name} come from the questions themselves; each "
        "question is left out of its own"
    )


def _takes_from_questions(task: Any) -> bool:
    """Whether the examples come from the split that is asked about."""
    asked = task.config.test_split or task.config.validation_split
    if task.fewshot_cfg.split is not None:
        return bool(task.fewshot_cfg.split == asked)
    if task.fewshot_cfg.samples is not None or task.config.training_split:
        return False
    return bool((task.config.validation_split or asked) == asked)
