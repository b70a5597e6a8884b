"""Manifests, notes and partial results in a store, and what KFP hands a stage, changed: read, or refused in a line."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from storm_core.artifacts import seal
from storm_core.cluster.nodes import read_nodes
from storm_core.execution import execute
from storm_core.executor_output import parse_executor_input, run_name, write_executor_output
from storm_core.finetuning.training_checkpoints import COMPLETE, TrainingCheckpoints
from storm_core.manifest import MANIFEST_NAME, parse_manifest, read_manifest
from storm_core.promotion.config import GATE, GateConfig
from storm_core.stores.ledger import parse
from storm_core.stores.partial_results import DirectoryPartialResults
from storm_core.stores.references import STORE_VARIABLE, open_reference
from tests.fuzzing.mutations import mutate_json, to_json
from tests.fuzzing.readers import Reader, fuzz, readers, times
from tests.reporting.conftest import RIGHT, make_evaluation


def manifests(directory: Path) -> Sequence[bytes]:
    """Of an artifact of two files, with lineage, and of the same in a store."""
    (directory / "files").mkdir()
    (directory / "files" / "a.txt").write_text("a")
    (directory / "files" / "b").mkdir()
    (directory / "files" / "b" / "c.txt").write_text("c")
    made = seal(
        directory / "files",
        "data",
        producer={"verb": "prepare", "version": "1", "config": {"seed": 1}},
        inputs={"data": ["0" * 64]},
        metrics={"rows": 2.0},
    )
    content = (directory / "files" / MANIFEST_NAME).read_bytes()
    stored = {**json.loads(content), "uri": f"file://{directory}/store/data/{made.digest}"}
    return [content, to_json(stored)]


def read_any_manifest(content: bytes, place: Path) -> None:
    parse_manifest(content, "it")


def open_with_manifest(content: bytes, place: Path) -> None:
    (place / "b").mkdir()
    (place / "a.txt").write_text("a")
    (place / "b" / "c.txt").write_text("c")
    (place / MANIFEST_NAME).write_bytes(content)
    open_reference(str(place))


def notes(_: Path) -> Sequence[bytes]:
    return [to_json({"holder": "a", "seconds": 30.0, "machine": "b 1", "process": 1, "started": 2})]


def read_note(content: bytes, place: Path) -> None:
    parse(content, "it")


_EXECUTOR_INPUT = {
    "inputs": {"parameterValues": {"run_name": "it"}},
    "outputs": {
        "parameters": {"a": {"outputFile": "a"}},
        "artifacts": {
            "metrics": {"artifacts": [{"name": "m", "type": {"schemaTitle": "system.Metrics"}, "metadata": {}}]},
            "page": {"artifacts": [{"name": "p", "type": {"schemaTitle": "system.HTML"}}]},
        },
        "outputFile": "OUTPUT",
    },
}


def read_executor_input(content: bytes, place: Path) -> None:
    """Numbers and pages go where KFP says, and nowhere else in this test."""
    given = parse_executor_input(content.decode(errors="replace"))
    run_name(given)
    given["outputs"]["outputFile"] = str(place / "executor_output.json")
    write_executor_output(given, {}, {"rows": 1.0})


_NODES = {"count": 2, "processes": 2, "unfollowed_minutes": 5.0, "image": "a", "pod": {"tolerations": [{"key": "a"}]}}


def read_training_nodes(content: bytes, place: Path) -> None:
    read_nodes(content.decode(errors="replace"))


def states(_: Path) -> Sequence[bytes]:
    return [to_json({"step": 3, "files": ["a.safetensors"], "state": {"done": 3, "train": [], "validation": []}})]


def continue_training(content: bytes, place: Path) -> None:
    """From a checkpoint whose mark another version may have written: it is used, or dropped with a line."""
    kept = DirectoryPartialResults(place / "kept")
    (place / "mark").write_bytes(content)
    for name in ("a.safetensors", COMPLETE):
        kept.keep(f"step-00000003-00000000/{name}", place / "mark")
    (place / "scratch").mkdir()
    found = TrainingCheckpoints(kept).find(place / "scratch")
    assert found is None or found[0] == "step-00000003-00000000"


@times
@readers(
    Reader(name="manifest", valid=manifests, mutate=mutate_json, read=read_any_manifest, inputs=350),
    Reader(name="artifact", valid=lambda d: manifests(d)[:1], mutate=mutate_json, read=open_with_manifest, inputs=100),
    Reader(name="note", valid=notes, mutate=mutate_json, read=read_note, inputs=80),
    Reader(
        name="executor input",
        valid=lambda _: [to_json(_EXECUTOR_INPUT)],
        mutate=mutate_json,
        read=read_executor_input,
        inputs=80,
    ),
    Reader(name="nodes", valid=lambda _: [to_json(_NODES)], mutate=mutate_json, read=read_training_nodes, inputs=80),
    Reader(name="checkpoint", valid=states, mutate=mutate_json, read=continue_training, inputs=80, takes_some=False),
)
def test_changed_file_is_read_or_refused(reader: Reader[bytes], times: int, tmp_path: Path) -> None:
    fuzz(reader, times, tmp_path)


@times
@pytest.mark.parametrize("in_store", [False, True], ids=["in place", "in a store"])
def test_changed_earlier_result_is_used_or_made_again_or_refused(
    in_store: bool, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest of an output that is there already, or what a store remembers of the run that made it."""
    made = {role: make_evaluation(tmp_path / role, role[0] * 64, right) for role, right in RIGHT.items()}
    evaluations = {f"{role}_evaluation": [str(path)] for role, path in made.items()}
    if in_store:
        monkeypatch.setenv(STORE_VARIABLE, f"file://{tmp_path}/store")

    def pass_gate(output: Path) -> None:
        execute(GATE, GateConfig(), inputs=evaluations, outputs={"decision": output}, value_files={})

    def remembered(directory: Path) -> Path:
        pass_gate(directory / "decision")
        (found,) = (
            (tmp_path / "store").glob("*results*/*.json") if in_store else [directory / "decision" / MANIFEST_NAME]
        )
        return found

    def valid(directory: Path) -> Sequence[bytes]:
        return [remembered(directory).read_bytes()]

    def run_again(content: bytes, place: Path) -> None:
        file = remembered(place)
        file.write_bytes(content)
        pass_gate(place / "decision")
        assert read_manifest(place / "decision" / MANIFEST_NAME).kind == "decision"
        file.unlink()

    name = f"earlier result {'in a store' if in_store else 'in place'}"
    fuzz(
        Reader(name=name, valid=valid, mutate=mutate_json, read=run_again, inputs=20, takes_some=False), times, tmp_path
    )
