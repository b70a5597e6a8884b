"""Tasks of lm-eval, EleutherAI's evaluation harness, on a model that is already loaded."""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from storm_core.chat_templates.chat_template import ChatTemplate
from storm_core.chat_templates.date import DEFAULT_DATE
from storm_core.errors import InputError
from storm_core.evaluation.definition import local_task
from storm_core.evaluation.evaluation_cache import ReplyCache
from storm_core.evaluation.golds import check_golds
from storm_core.evaluation.metric_keys import check_metrics, key_of, keys_of_results
from storm_core.evaluation.own_tasks import own_tasks
from storm_core.evaluation.scores import Measurement, Sample, Score, pooled_mean
from storm_core.evaluation.suite import Benchmark, LmEval, Seeds

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

    A group's score is over the questions of all its tasks together, which is how lm-eval weighs these groups.

    Raises:
        InputError: lm-eval has no such task or metric, or the task's data cannot be had.
    """
    import lm_eval
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
        try:
            results = lm_eval.simple_evaluate(
                model=wrapped,
                tasks=[local_task(benchmark, documents) if local else benchmark.task],
                num_fewshot=benchmark.num_fewshot,
                batch_size=benchmark.batch_size,
                apply_chat_template=benchmark.apply_chat_template,
                fewshot_as_multiturn=benchmark.fewshot_as_multiturn,
                task_manager=tasks,
                random_seed=seeds.random,
                numpy_random_seed=seeds.numpy,
                torch_random_seed=seeds.torch,
                fewshot_random_seed=seeds.fewshot,
            )
        except (ConnectionError, FileNotFoundError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{benchmark.name}: the data of {benchmark.task} cannot be had: {reason}") from error
    return _measurement(benchmark, results)


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
        return loaded

    tasks.load = load_and_check
    try:
        yield
    finally:
        tasks.load = load


def _measurement(benchmark: LmEval, results: Mapping[str, Any]) -> Measurement:
    leaves = sorted(results["samples"])
    keys = {leaf: _key(benchmark, results, leaf, benchmark.metric) for leaf in leaves}
    samples = [_sample(leaf, entry, key[0]) for leaf, key in keys.items() for entry in _entries(results, leaf, key[1])]
    return Measurement(
        metric=benchmark.metric,
        score=_score(benchmark, results, leaves, benchmark.metric),
        samples=tuple(samples),
        others={metric: _score(benchmark, results, leaves, metric) for metric in benchmark.also},
    )


def _score(benchmark: LmEval, results: Mapping[str, Any], leaves: list[str], metric: str) -> Score:
    scores = []
    for leaf in leaves:
        found = results["results"][leaf]
        name, filtered = _key(benchmark, results, leaf, metric)
        stderr = found.get(f"{name}_stderr,{filtered}", "N/A")
        value = float(found[f"{name},{filtered}"])
        scores.append(Score(value=value, stderr=float(stderr) if stderr != "N/A" else None))
    return pooled_mean(scores, [results["n-samples"][leaf]["effective"] for leaf in leaves])


def _key(benchmark: LmEval, results: Mapping[str, Any], leaf: str, metric: str) -> tuple[str, str]:
    """The metric and the filter that the suite means."""
    key = key_of(benchmark.name, leaf, metric, keys_of_results(results["results"][leaf]))
    name, _, filtered = key.partition(",")
    return name, filtered


def _entries(results: Mapping[str, Any], leaf: str, filtered: str) -> list[Mapping[str, Any]]:
    """The questions of a task with what one filter left of the replies."""
    entries = [entry for entry in results["samples"][leaf] if entry["filter"] == filtered]
    return sorted(entries, key=lambda entry: int(entry["doc_id"]))


def _sample(leaf: str, entry: Mapping[str, Any], metric: str) -> Sample:
    value = entry[metric]
    parts = value if isinstance(value, list) else [value]
    choices = [arguments[1] for arguments in entry["arguments"]]
    chosen = all(isinstance(choice, str) for choice in choices)
    golds = entry["target"] if isinstance(entry["target"], list) else [entry["target"]]
    answers = [choices[int(gold)] if chosen and isinstance(gold, int | float) else gold for gold in golds]
    return Sample(
        id=f"{leaf}-{entry['doc_id']}",
        prompt=entry["arguments"][0][0],
        reply=_ranking(choices, entry["filtered_resps"]) if chosen else str(entry["filtered_resps"][0]),
        score=float(sum(parts) / len(parts)),
        reason=f"the answer is {' or '.join(map(str, answers))}",
    )


def _ranking(choices: list[str], responses: list[tuple[float, bool]]) -> str:
    """The choices with their log-likelihoods in nats, the likeliest first."""
    ranked = sorted(zip(choices, responses, strict=True), key=lambda pair: -pair[1][0])
    return "\n".join(f"{response[0]:.3f} {choice.strip()}" for choice, response in ranked)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence lm-eval's log below errors, and its question which commit of a git repository it runs in: often in none.

    Git itself would answer that on standard error.
    """
    from lm_eval import evaluator

    logger = logging.getLogger("lm_eval")
    level, ask_git = logger.level, evaluator.get_git_commit_hash
    logger.setLevel(logging.ERROR)
    evaluator.get_git_commit_hash = lambda: None
    try:
        yield
    finally:
        logger.setLevel(level)
        evaluator.get_git_commit_hash = ask_git
