"""The article's tasks exist in the installed lm-eval, with the metrics that are asked for. No data set is loaded."""

import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storm_core.artifacts import open_directory
from storm_core.evaluation.suite import LmEval, load_suite


@pytest.mark.slow
def test_every_task_of_the_article_exists_with_its_metrics(data: Path) -> None:
    from lm_eval.tasks import TaskManager

    tasks = TaskManager()
    for benchmark in load_suite("article", open_directory(data)).benchmarks:
        if not isinstance(benchmark, LmEval):
            continue
        assert benchmark.task in tasks.all_tasks
        leaves = list(leaf_configs(tasks.task_index, benchmark.task))
        assert leaves
        for leaf in leaves:
            metrics = {entry["metric"] for entry in leaf["metric_list"]}
            assert {benchmark.metric, *benchmark.also} <= metrics, leaf["task"]
            assert leaf.get("num_fewshot") != 0 or not benchmark.num_fewshot, "lm-eval never raises a task's own 0"


@pytest.mark.parametrize("task", ["ifeval", "math"])
def test_code_that_scores_a_task_has_what_it_imports(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nltk.data.find", lambda *_: None)  # It would be downloaded.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of pkg_resources, which lm-eval imports and which is deprecated.
        importlib.import_module(f"lm_eval.tasks.leaderboard.{task}.utils")


def leaf_configs(index: Any, name: str) -> Iterator[dict[str, Any]]:
    """The configs of a task, or of all tasks of a group."""
    from lm_eval.tasks._yaml_loader import load_yaml

    config = load_yaml(index[name].yaml_path, resolve_func=False)
    if isinstance(config["task"], str):
        yield config
    else:
        for member in config["task"]:
            yield from leaf_configs(index, member)
