"""`submit --dry-run`: what a run would reuse and compute, read and cost."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.__main__ import main
from pipelines.profiles.fields import Profile
from pipelines.profiles.parts import Accelerator
from pipelines.profiles.training_nodes import TrainingNodes
from pipelines.submission.estimate import measured_gpu_hours
from pipelines.submission.followers import with_followers
from pipelines.submission.plan import ALWAYS, COMPUTED, REUSED, plan
from storm_core.cli import main as storm
from storm_core.errors import InputError
from storm_core.stores.references import open_reference, open_store
from tests.pipelines.kfp_server import KfpServer
from tests.pipelines.submitting import STORE, kfp, recipe, s3, settings, submit

__all__ = ["kfp", "recipe", "s3", "settings"]


def rows(out: str) -> dict[str, list[str]]:
    """The cells of the plan's table by task."""
    lines = [re.split(r"  +", line) for line in out.splitlines()]
    return {cells[0]: cells[1:] for cells in lines if len(cells) >= 4}


def fetch(source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a pod of the task leaves in the store."""
    with monkeypatch.context() as patched:
        patched.setenv("STORM_STORE", STORE)
        assert storm(["fetch", "--source", source, "--model", str(tmp_path / "fetched")]) == 0


def test_plan_of_an_empty_store_computes_all_and_changes_nothing(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(recipe, kfp, "--dry-run") == 0
    out = capsys.readouterr().out
    assert not kfp.requests
    assert len(re.findall(r" B, is to be pushed: s3://", out)) == 3
    uri = re.findall(r"^data .*(s3://\S+)$", out, re.M)[0]
    with pytest.raises(ValueError, match=r"no finished artifact|is not there|no manifest"):
        open_reference(uri)
    table = rows(out)
    assert table["fetch-base"][0] == "computed"
    assert table["register"][0] == "computed every time"
    assert table["score 0"][0] == table["score 7"][0] == "computed"
    assert "score 8" not in table
    assert table["train"][2:] == ["1 CPU, 7Gi", "not known yet"]
    assert table["fetch-base"][3] == f"{len((recipe.parent / 'base' / 'file.txt').read_bytes())} B"
    assert "25 of 25 tasks are computed" in out
    assert "GPU-hours: none" in out


def test_task_whose_result_is_in_the_store_is_reused_and_what_follows_is_not_known(
    recipe: Path,
    kfp: KfpServer,
    tiny_llama: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = {**yaml.safe_load(recipe.read_text()), "base_model": str(tiny_llama)}
    recipe.write_text(yaml.safe_dump(given))
    assert submit(recipe, kfp) == 0
    (run,) = kfp.state.runs.values()
    fetch(run["runtime_config"]["parameters"]["base_model"], monkeypatch, tmp_path)
    capsys.readouterr()
    assert submit(recipe, kfp, "--dry-run") == 0
    table = rows(capsys.readouterr().out)
    assert table["fetch-base"][0] == "reused"
    assert re.fullmatch(r"\d+ [kM]B", table["fetch-base"][-1])
    assert table["fetch-sibling"][0] == "computed"
    # Its input's size is known, since the task before it is reused.
    assert re.fullmatch(r"\d+ [kM]B", table["scan"][-1])


def test_other_options_are_not_answered_by_the_store(
    recipe: Path, kfp: KfpServer, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {**yaml.safe_load(recipe.read_text()), "base_model": str(tiny_llama)}
    recipe.write_text(yaml.safe_dump(given))
    assert submit(recipe, kfp) == 0
    (run,) = kfp.state.runs.values()
    arguments = run["runtime_config"]["parameters"]
    fetch(arguments["base_model"], monkeypatch, tmp_path)
    store = open_store(STORE)
    assert plan(arguments, store)[0].work == REUSED
    assert plan({**arguments, "fetch_dtype": "float32"}, store)[0].work == COMPUTED
    assert {task.work for task in plan(arguments, None)} == {COMPUTED, ALWAYS}


def test_references_of_a_hub_are_not_known_before_they_are_read(recipe: Path, kfp: KfpServer) -> None:
    arguments = {**yaml.safe_load(recipe.read_text()), "base_model": "hf://org/name@main"}
    tasks = {task.name: task for task in plan(arguments, open_store(STORE))}
    assert tasks["fetch-base"].work == COMPUTED
    assert tasks["fetch-base"].read_bytes is None
    assert tasks["fetch-sibling"].read_bytes


def test_gpu_hours_of_a_training_on_nodes_are_those_of_all_of_them() -> None:
    devices = Accelerator(resource="nvidia.com/gpu", count=2)
    nodes = TrainingNodes(count=4, accelerator=Accelerator(resource="nvidia.com/gpu", count=8))
    tasks: dict[str, dict[str, Any]] = {
        "train": {"measured_hours": 3.0},
        "evaluate": {"measured_hours": 3.0, "accelerator": devices},
    }
    profile = Profile(tasks=tasks, training_nodes=nodes)
    assert measured_gpu_hours("train", profile) == 3 * 4 * 8
    assert measured_gpu_hours("evaluate", profile) == 3 * 2


def test_gpu_hours_and_price_are_those_of_the_profile_or_not_known(
    recipe: Path, kfp: KfpServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = "image: cuda, accelerator: {nvidia.com/gpu: 2}"
    profile = tmp_path / "measured.yaml"
    profile.write_text(f"tasks: {{train: {{{task}, measured_hours: 3}}, evaluate: {{{task}}}}}\n")
    assert submit(recipe, kfp, "--dry-run", "--profile", str(profile)) == 0
    assert "GPU-hours: not known, the profile has no measured_hours of evaluate" in capsys.readouterr().out
    text = f"tasks: {{train: {{{task}, measured_hours: 3}}, evaluate: {{{task}, measured_hours: 0.5}}}}\n"
    profile.write_text(text)
    assert submit(recipe, kfp, "--dry-run", "--profile", str(profile)) == 0
    out = capsys.readouterr().out
    assert "GPU-hours: 11.0, by the profile's measured_hours" in out  # 2 * (3 + 5 * 0.5)
    assert "price: not known" in out
    profile.write_text(f"price_per_gpu_hour: 2.5\n{text}")
    assert submit(recipe, kfp, "--dry-run", "--profile", str(profile)) == 0
    assert "price: 27.50" in capsys.readouterr().out


def test_stage_is_computed_afresh_with_all_that_follows_and_the_version_stays(
    recipe: Path, kfp: KfpServer, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {**yaml.safe_load(recipe.read_text()), "base_model": str(tiny_llama)}
    recipe.write_text(yaml.safe_dump(given))
    assert submit(recipe, kfp) == 0
    assert submit(recipe, kfp, "--rerun", "merge") == 0
    first, second = (run["runtime_config"]["parameters"] for run in kfp.state.runs.values())
    assert "rerun" not in first
    assert second["rerun"] == with_followers("merge")
    assert len(kfp.state.versions) == 1
    fetch(first["base_model"], monkeypatch, tmp_path)
    store = open_store(STORE)
    assert plan(second, store)[0].work == REUSED
    assert plan({**first, "rerun": ["fetch-base"]}, store)[0].work == COMPUTED
    assert plan({**first, "rerun": ["fetch"]}, store)[0].work == COMPUTED


def test_what_follows_a_stage_is_what_the_graph_says() -> None:
    after_merge = ["evaluate-merged", "evaluate-quantized", "gate", "merge", "quantize", "register", "report"]
    assert with_followers("merge") == after_merge
    assert "score" in with_followers("prepare") and "train" in with_followers("score")
    assert with_followers("report") == ["report"]
    with pytest.raises(InputError, match=r"--rerun must be one of fetch, .*; got 'fly'"):
        with_followers("fly")


def test_plan_needs_no_server(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--store", STORE, "--allow-local-images", "--dry-run"]
    assert main(["submit", "--recipe", str(recipe), *flags]) == 0
    assert "fetch-base" in capsys.readouterr().out
