"""Suites: what their files may say, and that the built-in ones say what the recipe says."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from storm_core.artifacts import open_directory
from storm_core.errors import InputError
from storm_core.evaluation.suite import FunctionCalling, LmEval, built_in_suites, load_suite, parse_suite

# RECIPE.md, section 5: task, few-shot (None: the task's default), few-shot as multi-turn, batch size, launcher.
ARTICLE = {
    "ifeval": ("leaderboard_ifeval", None, True, 32, None),
    "bbh": ("leaderboard_bbh", 3, True, 32, None),
    "gpqa": ("leaderboard_gpqa", None, True, 4, "accelerate"),
    "mmlu_pro": ("leaderboard_mmlu_pro", 5, True, 32, "accelerate"),
    "math_hard": ("leaderboard_math_hard", 4, True, 32, "accelerate"),
    "musr": ("leaderboard_musr", None, True, 32, None),
    "arc_challenge": ("arc_challenge", 0, False, 32, None),
    "truthfulqa": ("truthfulqa_mc2", None, True, 128, None),
    "agieval": ("agieval_nous", None, False, 32, None),
}


def function_calling(**changes: Any) -> dict[str, Any]:
    settings = {
        "kind": "function_calling",
        "name": "calls",
        "title": "Calls",
        "path": "bfcl",
        "categories": ["simple_python"],
        "guidelines": False,
        "batch_size": 2,
        "max_new_tokens": 8,
    }
    return {**settings, **changes}


def suite_bytes(*benchmarks: Any, **changes: Any) -> bytes:
    seeds = {"sample": 0, "random": 0, "numpy": 1, "torch": 1, "fewshot": 1}
    suite = {"dtype": "auto", "seeds": seeds, "benchmarks": list(benchmarks), **changes}
    return yaml.safe_dump(suite).encode()


def test_article_suite_has_the_recipes_settings(data: Path) -> None:
    suite = load_suite("article", open_directory(data))
    tasks = {benchmark.name: benchmark for benchmark in suite.benchmarks if isinstance(benchmark, LmEval)}
    found = {
        name: (task.task, task.num_fewshot, task.fewshot_as_multiturn, task.batch_size, task.launcher)
        for name, task in tasks.items()
    }
    assert found == ARTICLE
    assert suite.dtype == "bfloat16"
    assert all(task.apply_chat_template for task in tasks.values())
    (calls,) = (benchmark for benchmark in suite.benchmarks if isinstance(benchmark, FunctionCalling))
    assert calls.guidelines
    assert calls.categories == ("simple_python", "multiple", "parallel", "parallel_multiple")
    assert calls.samples is None
    assert len(suite.benchmarks) == 10


def test_smoke_suite_is_the_demos(data: Path) -> None:
    suite = load_suite("smoke", open_directory(data))
    assert [benchmark.name for benchmark in suite.benchmarks] == ["simple_python", "trivia"]
    assert len(suite.sha256) == 64


def test_an_unknown_suite_is_refused_with_the_known_ones(data: Path) -> None:
    with pytest.raises(InputError, match=r"unknown suite 'smokey'; use one of article, smoke"):
        load_suite("smokey", open_directory(data))
    assert built_in_suites() == ["article", "smoke"]


def test_a_suite_of_ones_own_lies_in_the_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "mine.yaml").write_bytes(suite_bytes(function_calling()))
    suite = load_suite("mine.yaml", open_directory(data))
    assert suite.name == "mine"
    assert suite.benchmarks[0].name == "calls"
    (tmp_path / "outside.yaml").write_bytes(suite_bytes(function_calling()))
    for outside in ("../outside.yaml", str(tmp_path / "outside.yaml")):
        with pytest.raises(InputError, match="inside"):
            load_suite(outside, open_directory(data))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1, 2", "is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
        (b"just text", "must have the keys"),
        (suite_bytes(function_calling(), extra=1), "must have the keys dtype, seeds and benchmarks, not"),
        (suite_bytes(function_calling(), dtype="int4"), "dtype must be one of auto, bfloat16, float32, got 'int4'"),
        (suite_bytes(), "at least one entry"),
        (suite_bytes("text"), "benchmark 0 must be a mapping"),
        (suite_bytes(function_calling(kind="vibes")), "with the kind function_calling or lm_eval"),
        (suite_bytes(function_calling(temperature=1)), "benchmark calls has the unknown setting 'temperature'"),
        (suite_bytes({"kind": "lm_eval", "name": "a"}), "benchmark a lacks the setting 'title'"),
        (suite_bytes(function_calling(batch_size="2")), "batch_size must be of type int, got '2'"),
        (suite_bytes(function_calling(batch_size=True)), "batch_size must be of type int, got True"),
        (suite_bytes(function_calling(batch_size=0)), "batch_size must be >= 1, got 0"),
        (suite_bytes(function_calling(samples=1)), "samples must be >= 2"),
        (suite_bytes(function_calling(max_new_tokens=0)), "max_new_tokens >= 1"),
        (suite_bytes(function_calling(categories=[])), "at least one category"),
        (suite_bytes(function_calling(categories="multiple")), "categories must be a list of texts"),
        (suite_bytes(function_calling(name="a/b")), "name must be of lower-case letters"),
        (suite_bytes(function_calling(), function_calling()), "two benchmarks named calls"),
        (suite_bytes(function_calling(), seeds={"sample": 0}), "seeds lacks the setting 'random'"),
        (suite_bytes(function_calling(kind=["lm_eval"])), "with the kind function_calling or lm_eval"),
        (suite_bytes(function_calling(), function_calling(name=7)), "benchmark 1, name must be of type str, got 7"),
        (
            suite_bytes(function_calling(), seeds={"sample": 0, "random": 0, "numpy": -1, "torch": 1, "fewshot": 1}),
            "seeds, numpy must be from 0 to 4294967295, got -1",
        ),
        (suite_bytes(function_calling(), seeds=7), "seeds must be a mapping of settings, got 7"),
    ],
)
def test_a_bad_suite_is_refused_in_one_line(content: bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_suite("mine", content, where="mine.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("mine.yaml")
    assert "\n" not in str(caught.value)
