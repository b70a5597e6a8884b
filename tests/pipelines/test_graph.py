"""The compiled pipeline: KFP's own validation, and the edges of the recipe."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import components as kfp_components

from pipelines.__main__ import main
from pipelines.arguments import run_arguments
from pipelines.storm import storm_pipeline
from storm_core.judging.engines.config import JudgeConfig

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


def compiled(recipe: Path, output: Path, *more: str) -> dict[str, Any]:
    assert main(["compile", "--recipe", str(recipe), "--output", str(output), *more]) == 0
    document: dict[str, Any] = next(yaml.safe_load_all(output.read_text()))
    return document


def edges(document: dict[str, Any]) -> set[tuple[str, str]]:
    """(producer, consumer) pairs between the tasks of the root graph, by their display names."""
    tasks = document["root"]["dag"]["tasks"]
    names = {task: body["taskInfo"]["name"] for task, body in tasks.items()}
    found = set()
    for task, body in tasks.items():
        inputs = body.get("inputs", {})
        for value in [*inputs.get("artifacts", {}).values(), *inputs.get("parameters", {}).values()]:
            source = value.get("taskOutputArtifact") or value.get("taskOutputParameter")
            if source:
                found.add((names[source["producerTask"]], names[task]))
    return found


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return compiled(ROOT / "recipes" / "smoke.yaml", tmp_path_factory.mktemp("compiled") / "p.yaml")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_compiles_to_a_pipeline_that_kfp_loads(recipe: Path, tmp_path: Path) -> None:
    document = compiled(recipe, tmp_path / "p.yaml")
    loaded = kfp_components.load_component_from_file(str(tmp_path / "p.yaml"))
    assert set(loaded.component_spec.inputs) == set(run_arguments())
    given = yaml.safe_load(recipe.read_text())
    defaults = document["root"]["inputDefinitions"]["parameters"]
    assert {name: defaults[name].get("defaultValue") for name in given} == given


def test_the_graph_has_the_edges_of_the_recipe(document: dict[str, Any]) -> None:
    evaluations = ["base", "sibling", "tuned", "merged", "quantized"]
    expected = {
        ("fetch-base", "scan"),
        ("fetch-base", "score-shards"),
        ("prepare", "score-shards"),
        ("prepare", "select"),
        ("score-shards", "select"),
        *((task, "audit") for task in ("fetch-base", "prepare", "score-shards")),
        ("fetch-base", "train"),
        ("select", "train"),
        ("scan", "train"),
        ("train", "merge"),
        ("fetch-sibling", "merge"),
        ("merge", "quantize"),
        ("fetch-base", "evaluate-base"),
        ("fetch-sibling", "evaluate-sibling"),
        ("train", "evaluate-tuned"),
        ("merge", "evaluate-merged"),
        ("quantize", "evaluate-quantized"),
        *((f"evaluate-{name}", "gate") for name in evaluations),
        *((f"evaluate-{name}", "report") for name in evaluations),
        ("merge", "register"),
        ("quantize", "register"),
        ("evaluate-merged", "register"),
        ("evaluate-quantized", "register"),
        ("gate", "register"),
        *((task, "report") for task in ("select", "score-shards", "scan", "train", "gate", "register")),
    }
    assert edges(document) == expected


def test_scan_runs_beside_curation(document: dict[str, Any]) -> None:
    tasks = document["root"]["dag"]["tasks"]
    assert set(tasks["scan"]["dependentTasks"]) == {"fetch"}
    assert set(tasks["prepare"].get("dependentTasks", [])) == set()


def test_scoring_fans_out_over_the_shards_that_prepare_wrote(document: dict[str, Any]) -> None:
    shards = document["root"]["dag"]["tasks"]["score-shards"]["inputs"]["parameters"]["shard_indices"]
    assert shards["taskOutputParameter"] == {"outputParameterKey": "shard_indices", "producerTask": "prepare"}
    loop = document["components"]["comp-score-shards"]["dag"]["tasks"]["for-loop-1"]
    assert loop["parameterIterator"]["items"]["inputParameter"] == "pipelinechannel--shard_indices"


def all_tasks(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every task of every graph in the pipeline, by its graph and name."""
    graphs = {"root": document["root"], **document["components"]}
    return {
        f"{graph}/{name}": task
        for graph, definition in graphs.items()
        for name, task in definition.get("dag", {}).get("tasks", {}).items()
    }


def test_kfp_s_own_caching_is_off_for_every_task(document: dict[str, Any]) -> None:
    tasks = all_tasks(document)
    assert {"root/train", "root/score-shards", "comp-for-loop-1/score"} <= set(tasks)
    assert [name for name, task in tasks.items() if task.get("cachingOptions", {}).get("enableCache")] == []


def test_no_task_is_given_one_artifact_through_two_inputs(document: dict[str, Any]) -> None:
    # KFP never starts it: its metadata store refuses the second event.
    for name, task in all_tasks(document).items():
        sources = [str(source) for source in task.get("inputs", {}).get("artifacts", {}).values()]
        assert len(sources) == len(set(sources)), name


def test_arguments_of_the_pipeline_are_those_of_the_stages() -> None:
    assert set(storm_pipeline().component_spec.inputs) == set(run_arguments())
    assert "score_shard" not in run_arguments()


def test_every_argument_is_described_with_the_values_it_may_have(document: dict[str, Any]) -> None:
    parameters = document["root"]["inputDefinitions"]["parameters"]
    for name, argument in run_arguments().items():
        assert parameters[name]["description"] == argument.help
        assert parameters[name].get("literals", []) == list(argument.choices)
    assert parameters["score_engine"]["literals"] == ["transformers", "vllm", "openai"]


def test_audit_asks_the_judge_as_score_did(document: dict[str, Any]) -> None:
    audited = document["root"]["dag"]["tasks"]["audit"]["inputs"]["parameters"]
    scored = document["root"]["dag"]["tasks"]["score-shards"]["inputs"]["parameters"]
    shared = [field.name for field in dataclasses.fields(JudgeConfig) if field.name != "template_date"]
    for name in (*shared, "rubrics"):
        assert audited[name] == scored[f"score_{name}"] == {"componentInputParameter": f"score_{name}"}
    assert not {f"audit_{name}" for name in shared} & set(run_arguments())


def test_one_date_goes_to_all_that_render_conversations(document: dict[str, Any]) -> None:
    tasks = document["root"]["dag"]["tasks"]
    dated = {name for name, task in tasks.items() if "template_date" in task["inputs"].get("parameters", {})}
    assert {"audit", "train"} <= dated
    for name in dated:
        assert tasks[name]["inputs"]["parameters"]["template_date"] == {"componentInputParameter": "template_date"}
    assert [name for name in run_arguments() if name.endswith("template_date")] == ["template_date"]


def test_text_held_out_is_named_by_the_run_and_may_be_left_out(document: dict[str, Any]) -> None:
    given = document["root"]["dag"]["tasks"]["train"]["inputs"]["parameters"]["held_out"]
    assert given == {"componentInputParameter": "train_held_out"}
    assert document["root"]["inputDefinitions"]["parameters"]["train_held_out"]["defaultValue"] == ""


def test_store_and_tracking_server_reach_every_container(tmp_path: Path) -> None:
    arguments = ["--store", "s3://bucket/prefix", "--tracking-uri", "http://mlflow:5000"]
    document = compiled(ROOT / "recipes" / "smoke.yaml", tmp_path / "p.yaml", *arguments)
    for executor in document["deploymentSpec"]["executors"].values():
        variables = {variable["name"]: variable["value"] for variable in executor["container"]["env"]}
        assert variables["STORM_STORE"] == "s3://bucket/prefix"
        assert variables["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"


def test_no_container_names_a_shell_or_installs_packages(document: dict[str, Any]) -> None:
    for executor in document["deploymentSpec"]["executors"].values():
        command = [*executor["container"]["command"], *executor["container"]["args"]]
        assert command[0] == "storm"
        assert not any("pip" in part.split() or part in ("sh", "bash", "-c") for part in command)
