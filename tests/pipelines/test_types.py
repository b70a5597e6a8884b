"""Every input in the compiled graph is given what it declares.

KFP's driver refuses a task at run time, before its pod starts, when a value's JSON type is not the declared one;
`kfp.local` checks nothing of the kind.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.stage_component import component
from pipelines.__main__ import main
from pipelines.score_shards import score_shards_pipeline
from pipelines.tasks import TaskSettings

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "NUMBER_DOUBLE": (float, int),
    "NUMBER_INTEGER": (int,),
    "STRING": (str,),
    "STRUCT": (dict,),
}


@dataclass(frozen=True)
class Edge:
    """One input or output, the type that it declares, and the type of what it is given."""

    where: str
    declared: str
    given: str


class Graph:
    """A compiled pipeline, read edge by edge."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.definitions = {"root": document["root"], **document["components"]}

    def edges(self) -> Iterator[Edge]:
        """Every edge of every graph in the pipeline: into a task, and out of a graph to the graph around it."""
        for name, definition in self.definitions.items():
            if "dag" not in definition:
                continue
            for task_name, task in definition["dag"]["tasks"].items():
                yield from self._into(f"{name}/{task_name}", task, definition)
            yield from self._out_of(name, definition)

    def _into(self, where: str, task: dict[str, Any], around: dict[str, Any]) -> Iterator[Edge]:
        takes = self.definitions[task["componentRef"]["name"]].get("inputDefinitions", {})
        for kind in ("parameters", "artifacts"):
            for name, declared in takes.get(kind, {}).items():
                needed = "defaultValue" not in declared and not declared.get("isOptional")
                looped = name == task.get("parameterIterator", {}).get("itemInput")
                if needed and not looped and name not in task.get("inputs", {}).get(kind, {}):
                    yield Edge(f"{where}.{name}", "something", "nothing")
        for name, source in task.get("inputs", {}).get("parameters", {}).items():
            given = self._parameter_type(source, around, takes["parameters"][name]["parameterType"])
            yield Edge(f"{where}.{name}", takes["parameters"][name]["parameterType"], given)
        for name, source in task.get("inputs", {}).get("artifacts", {}).items():
            declared = takes["artifacts"][name]["artifactType"]["schemaTitle"]
            yield Edge(f"{where}.{name}", declared, self._artifact_type(source, around))
        if iterator := task.get("parameterIterator"):
            items = takes["parameters"][iterator["items"]["inputParameter"]]["parameterType"]
            yield Edge(f"{where}: what is looped over", "LIST", items)

    def _parameter_type(self, source: dict[str, Any], around: dict[str, Any], declared: str) -> str:
        if "componentInputParameter" in source:
            return str(around["inputDefinitions"]["parameters"][source["componentInputParameter"]]["parameterType"])
        if "taskOutputParameter" in source:
            produced = source["taskOutputParameter"]
            outputs = self._component(produced["producerTask"], around)["outputDefinitions"]["parameters"]
            return str(outputs[produced["outputParameterKey"]]["parameterType"])
        return type_of(source["runtimeValue"]["constant"], declared)

    def _artifact_type(self, source: dict[str, Any], around: dict[str, Any]) -> str:
        if "componentInputArtifact" in source:
            artifacts = around["inputDefinitions"]["artifacts"]
            return str(artifacts[source["componentInputArtifact"]]["artifactType"]["schemaTitle"])
        produced = source["taskOutputArtifact"]
        outputs = self._component(produced["producerTask"], around)["outputDefinitions"]["artifacts"]
        return str(outputs[produced["outputArtifactKey"]]["artifactType"]["schemaTitle"])

    def _out_of(self, where: str, definition: dict[str, Any]) -> Iterator[Edge]:
        outputs = definition["dag"].get("outputs", {})
        for name, source in outputs.get("parameters", {}).items():
            inner = source["valueFromParameter"]
            produced = self._component(inner["producerSubtask"], definition)["outputDefinitions"]["parameters"]
            given = produced[inner["outputParameterKey"]]["parameterType"]
            declared = definition["outputDefinitions"]["parameters"][name]["parameterType"]
            # What a loop hands on is gathered: one value of each turn.
            yield Edge(f"{where} -> {name}", declared, "LIST" if self._is_loop_body(where) else given)
        for name, source in outputs.get("artifacts", {}).items():
            (inner,) = source["artifactSelectors"]
            produced = self._component(inner["producerSubtask"], definition)["outputDefinitions"]["artifacts"]
            given = produced[inner["outputArtifactKey"]]["artifactType"]["schemaTitle"]
            declared = definition["outputDefinitions"]["artifacts"][name]["artifactType"]["schemaTitle"]
            yield Edge(f"{where} -> {name}", declared, given)

    def _is_loop_body(self, component: str) -> bool:
        tasks = [task for one in self.definitions.values() for task in one.get("dag", {}).get("tasks", {}).values()]
        return any("parameterIterator" in task and task["componentRef"]["name"] == component for task in tasks)

    def _component(self, task: str, around: dict[str, Any]) -> dict[str, Any]:
        component: dict[str, Any] = self.definitions[around["dag"]["tasks"][task]["componentRef"]["name"]]
        return component


def type_of(value: Any, declared: str) -> str:
    """The declared type where the JSON value is of it, else what the value is."""
    # JSON has one kind of number: KFP writes the integer 3 as 3.0.
    plain = int(value) if isinstance(value, float) and value.is_integer() else value
    return declared if type(plain) in PYTHON_TYPES[declared] else type(value).__name__


def wrong(document: dict[str, Any]) -> list[Edge]:
    return [edge for edge in Graph(document).edges() if edge.declared != edge.given]


@pytest.fixture(scope="module", params=RECIPES, ids=lambda path: path.stem)
def document(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    output = tmp_path_factory.mktemp("compiled") / "p.yaml"
    assert main(["compile", "--recipe", str(request.param), "--output", str(output)]) == 0
    found: dict[str, Any] = next(yaml.safe_load_all(output.read_text()))
    return found


def test_every_input_is_given_the_type_that_it_declares(document: dict[str, Any]) -> None:
    assert wrong(document) == []
    checked = {edge.where for edge in Graph(document).edges()}
    assert {"comp-for-loop-1/score.shard", "comp-score-shards -> Output", "root/score-shards.shard_indices"} <= checked
    assert {"root/train.scan", "root -> report", "comp-for-loop-1/score.model"} <= checked


def test_a_wrong_type_anywhere_would_be_found(document: dict[str, Any]) -> None:
    declared = document["components"]["comp-score"]["inputDefinitions"]["parameters"]["shard"]
    assert declared == {**declared, "parameterType": "NUMBER_INTEGER"}
    declared["parameterType"] = "STRING"
    try:
        assert [edge.where for edge in wrong(document)] == ["comp-for-loop-1/score.shard"]
    finally:
        declared["parameterType"] = "NUMBER_INTEGER"


def test_an_input_that_is_given_nothing_would_be_found(document: dict[str, Any]) -> None:
    given = document["root"]["dag"]["tasks"]["train"]["inputs"]["artifacts"]
    scan = given.pop("scan")
    try:
        assert [edge.where for edge in wrong(document)] == ["root/train.scan"]
    finally:
        given["scan"] = scan


def test_every_default_is_of_the_type_of_its_parameter(document: dict[str, Any]) -> None:
    checked = 0
    for definition in [document["root"], *document["components"].values()]:
        for name, parameter in definition.get("inputDefinitions", {}).get("parameters", {}).items():
            if "defaultValue" in parameter:
                assert type_of(parameter["defaultValue"], parameter["parameterType"]) == parameter["parameterType"], (
                    name
                )
                checked += 1
    assert checked > len(document["root"]["inputDefinitions"]["parameters"])


def test_elements_that_a_loop_takes_are_those_that_its_list_holds(document: dict[str, Any]) -> None:
    # The compiled form says LIST and no more; what a list holds is in the signatures alone.
    produced = component("prepare").component_spec.outputs["shard_indices"].type
    loop = score_shards_pipeline(TaskSettings())
    assert produced == loop.component_spec.inputs["shard_indices"].type == "List[Integer]"
    assert produced == f"List[{component('score').component_spec.inputs['shard'].type}]"
    gathered = loop.component_spec.outputs["Output"].type
    for consumer in ("select", "audit", "report"):
        assert component(consumer).component_spec.inputs["verdicts"].type == gathered == "List[String]"
    loops = [name for name in document["components"] if name.startswith("comp-for-loop")]
    assert loops == ["comp-for-loop-1"], "say of a new loop what its elements are"
