"""What the parent run carries."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.arguments import run_arguments
from storm_core.config import StageConfig
from storm_core.judging.config import ScoreConfig
from storm_core.stages import STAGES, load_stage
from storm_core.tracking import Work, track
from storm_core.tracking.headlines import arguments, headlines
from tests.tracking.conftest import TrainLikeConfig, runs_of

KFP_RUN = "0b1c2d3e-1111-2222-3333-444455556666"


def log(work: Work, config: StageConfig, directory: Path, **metrics: float) -> None:
    with track(work, config, None, directory) as run:
        run.log_results(metrics)


def test_parent_compares_runs_by_arguments_and_headline_numbers(
    database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORM_KFP_RUN_ID", KFP_RUN)
    log(Work(verb="select", task="select"), TrainLikeConfig(), tmp_path, kept=160, read=2026)
    log(Work(verb="train", task="train"), TrainLikeConfig(), tmp_path, tokens_trained=61440, train_loss=0.5)
    log(Work(verb="evaluate", task="evaluate-tuned"), TrainLikeConfig(), tmp_path, mean=0.61, tools=0.7)
    log(Work(verb="evaluate", task="evaluate-base"), TrainLikeConfig(), tmp_path, mean=0.25)
    log(Work(verb="gate", task="gate"), TrainLikeConfig(), tmp_path, passed=1.0, rules_passed=3)
    (parent,) = [run for run in runs_of(database) if "mlflow.parentRunId" not in run.data.tags]
    assert parent.data.metrics == {
        "rows_kept": 160,
        "tokens_trained": 61440,
        "tuned_average": 0.61,
        "base_average": 0.25,
        "gate_passed": 1.0,
    }
    assert parent.data.params["train_learning_rate"] == "0.1"
    assert parent.data.params["select_packing"] == "true"


def test_tasks_of_one_verb_that_differ_break_nothing(database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORM_KFP_RUN_ID", KFP_RUN)
    for rate in (0.1, 0.2):
        log(Work(verb="train", task="train"), TrainLikeConfig(learning_rate=rate), tmp_path, tokens_trained=rate)
    runs = runs_of(database)
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert parent.data.params["train_learning_rate"] == "0.1"
    assert parent.data.metrics["tokens_trained"] == 0.2
    below = [run for run in runs if run is not parent]
    assert {run.data.params["learning_rate"] for run in below} == {"0.1", "0.2"}
    assert {run.info.status for run in below} == {"FINISHED"}


def test_parameters_have_the_names_of_the_runs_arguments() -> None:
    known = set(run_arguments())
    for verb in STAGES:
        stage = load_stage(verb)
        required = {"sources": ("chat",)} if verb == "prepare" else {}
        given = {name: ["hf://org/name"] for name, declared in stage.inputs.items() if declared.external}
        task = "fetch-sibling" if verb == "fetch" else verb
        named = arguments(Work(verb=verb, task=task, given=given), stage.config(**required))
        assert set(named) <= known, verb
    assert "score_shard" not in arguments(Work(verb="score", task="score"), ScoreConfig(shard=3))


@dataclass(frozen=True, kw_only=True)
class NoOptions(StageConfig):
    """No options."""


def test_references_from_outside_the_graph_are_the_runs_arguments() -> None:
    fetch = Work(verb="fetch", task="fetch-base", given={"source": ["hf://org/base@main"]})
    assert arguments(fetch, NoOptions()) == {"base_model": "hf://org/base@main"}
    assert arguments(Work(verb="fetch", task="fetch", given={"source": ["a"]}), NoOptions()) == {}
    score = Work(verb="score", task="score", given={"rubrics": [], "model": ["s3://b/model"]})
    assert arguments(score, NoOptions()) == {}
    train = Work(verb="train", task="train", given={"held_out": ["s3://b/data"], "scan": ["s3://b/scan"]})
    assert arguments(train, NoOptions()) == {"train_held_out": "s3://b/data"}


def test_headlines_are_taken_from_the_stages_that_have_them() -> None:
    assert headlines(Work(verb="evaluate", task="evaluate"), {"mean": 0.5}) == {}
    assert headlines(Work(verb="merge", task="merge"), {"kept": 3}) == {}
