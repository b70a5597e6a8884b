"""Tasks of lm-eval, EleutherAI's evaluation harness, on a model that is already loaded."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.chat_templates.date import DEFAULT_DATE
from storm_core.errors import InputError
from storm_core.evaluation.definition import local_task
from storm_core.evaluation.evaluation_cache import ReplyCache
from storm_core.evaluation.few_shot import leave_out_own_question
from storm_core.evaluation.golds import check_golds
from storm_core.evaluation.lm_eval_run import quiet, run_task
from storm_core.evaluation.metric_keys import check_metrics
from storm_core.evaluation.own_tasks import own_tasks
from storm_core.evaluation.scores import Measurement
from storm_core.evaluation.suite import Benchmark, LmEval, Seeds
from storm_core.evaluation.task_results import measurement_of

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def measure_task(
    benchmark: LmEval,
    documents: list[dict[str, Any]],
    seeds: Seeds,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    kept: ReplyCache,
    date: str = DEFAULT_DATE,
) -> Measurement:
    """Run one lm-eval task or group; `documents` are those of a local task, empty for one of lm-eval's own.

    `date` is what a chat template is told that asks for one. The model is not asked again what `kept` has the reply to.

    Raises:
        InputError: lm-eval has no such task or metric, the task's data cannot be had, or lm-eval fails over it.
    """
    from lm_eval.tasks import TaskManager

    from storm_core.evaluation.resumable_model import ResumableLM

    local = benchmark.questions
    # A local task needs none of lm-eval's own.
    tasks = TaskManager(include_defaults=False) if local else own_tasks()
    if not local:
        _check_known(tasks, benchmark)
    with quiet(), _checked_when_loaded(tasks, benchmark):
        wrapped = ResumableLM(
            kept,
            ChatTemplate(tokenizer, date) if benchmark.apply_chat_template else None,
            pretrained=model,
            tokenizer=tokenizer,
            batch_size=benchmark.batch_size,
            # In bfloat16 a log-likelihood keeps three digits, and different answers tie.
            softmax_dtype=torch.float32,
        )
        task = local_task(benchmark, documents) if local else benchmark.task
        results = run_task(benchmark, task, seeds, wrapped, tasks)
    return measurement_of(benchmark, results)


def check_tasks(benchmarks: Iterable[Benchmark]) -> None:
    """Refuse what lm-eval has no task for, before a model is loaded and the benchmarks before it are measured.

    Raises:
        InputError: as `measure_task`, as far as that can be known without the task's data.
    """
    for benchmark in benchmarks:
        if isinstance(benchmark, LmEval) and benchmark.questions is None:
            _check_known(own_tasks(), benchmark)


def _check_known(tasks: "TaskManager", benchmark: LmEval) -> None:
    import lm_eval

    if benchmark.task not in tasks.all_tasks:
        raise InputError(f"{benchmark.name}: task: lm-eval {lm_eval.__version__} has no task {benchmark.task!r}")
    if "ifeval" in benchmark.task:
        _check_sentence_splitter(benchmark)


def _check_sentence_splitter(benchmark: LmEval) -> None:
    """Refuse IFEval without the data that it counts sentences with: lm-eval would miss it after the last reply only."""
    import nltk

    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError as error:
        raise InputError(
            f"{benchmark.name}: {benchmark.task} needs NLTK's punkt_tab, which is not here; run "
            "`python -m nltk.downloader -d DIRECTORY punkt_tab` where there is a network, and set NLTK_DATA=DIRECTORY"
        ) from error


@contextlib.contextmanager
def _checked_when_loaded(tasks: "TaskManager", benchmark: LmEval) -> Iterator[None]:
    """Have `tasks` look at what it loads, and so before the first question: its metrics, and its right answers."""
    load = tasks.load

    def load_and_check(*arguments: Any, **named: Any) -> Any:
        loaded = load(*arguments, **named)
        for name, task in loaded["tasks"].items():
            check_metrics(benchmark.name, name, task, (benchmark.metric, *benchmark.also))
            check_golds(benchmark.name, name, task)
            leave_out_own_question(benchmark, name, task)
        return loaded

    tasks.load = load_and_check
    try:
        yield
    finally:
        tasks.load = load
