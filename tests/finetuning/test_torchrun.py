"""`storm train` under torchrun: killed and begun again by another number of processes, and told what it cannot do."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from storm_core.cli import main
from storm_core.errors import InputError
from storm_core.finetuning.config import TrainConfig
from storm_core.finetuning.exchange import check_processes
from storm_core.processes import check_started
from storm_core.records import write_examples
from tests.finetuning.conftest import conversation, questions
from tests.finetuning.torchrun import start

# Checkpoints may follow each other at once, and one attempt ends itself, as the node's end would, after some updates.
COMMAND = """
import os, signal, sys
from torch.optim.optimizer import register_optimizer_step_post_hook
from storm_core.cli import main
from storm_core.finetuning import attempt
attempt._FIRST_SECONDS = attempt._SHORTEST_SECONDS = 0.0
end, number, made = sys.argv.pop(1), int(sys.argv.pop(1)), 0
def count(*_):
    global made
    made += 1
    if made == number and os.environ.get("RANK", "0") == os.environ.get("VICTIM", "0"):
        os.kill(os.getpid() if end == "KILL" else os.getppid(), getattr(signal, "SIG" + end))
register_optimizer_step_post_hook(count)
sys.exit(main())
"""
OPTIONS = [
    *("--epochs=4", "--batch-size=2", "--gradient-accumulation-steps=4", "--learning-rate=0.01", "--warmup-ratio=0"),
    *("--evaluations=2", "--dtype=float32", "--checkpoint-minutes=0"),
]


@pytest.fixture
def arguments(tiny_llama: Path, tiny_scan: Path, tmp_path: Path) -> list[str]:
    selection = tmp_path / "selection"
    selection.mkdir()
    examples = [conversation(f"How easy is {n}?", f"{n} " * (40 if n % 2 else 4)) for n in range(21)]
    write_examples(selection / "train.parquet", examples)
    write_examples(selection / "validation.parquet", questions(5))
    return ["train", f"--model={tiny_llama}", f"--selection={selection}", f"--scan={tiny_scan}", *OPTIONS]


def outputs(directory: Path) -> list[str]:
    return [f"--tuned-model={directory / 'tuned'}", f"--training={directory / 'training'}"]


def losses(directory: Path) -> list[float]:
    history = json.loads((directory / "training/history.json").read_text())
    return [point["loss"] for name in ("train", "validation") for point in history[name]]


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["none", pytest.param("full", marks=pytest.mark.nightly)])
def test_training_killed_and_begun_again_by_other_numbers_of_processes_is_that_of_one(
    sharding: str, arguments: list[str], tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(COMMAND)
    assert main([*arguments, *outputs(tmp_path / "alone")]) == 0

    together = [*arguments, *outputs(tmp_path / "together"), f"--sharding={sharding}"]
    continued = []
    for processes, end, number in ((2, "KILL", 4), (1, "KILL", 4), (4, "KILL", 100)):
        process = start(processes, [str(program), end, str(number), *together])
        _, errors = process.communicate(timeout=240)
        assert (process.returncode == 0) == (number == 100), errors
        continued += re.findall(r"continues after step (\d+) of 12", errors)
    assert [int(step) for step in continued] == sorted({int(step) for step in continued})
    assert len(continued) == 2

    assert losses(tmp_path / "together") == pytest.approx(losses(tmp_path / "alone"), abs=1e-5)
    alone, resumed = (pq.read_table(tmp_path / name / "training/updates.parquet") for name in ("alone", "together"))
    assert resumed.drop_columns("process").equals(alone.drop_columns("process"))
    history = json.loads((tmp_path / "together/training/history.json").read_text())
    assert [entry["processes"] for entry in history["processes"]] == [2, 1, 4]
    for row in resumed.to_pylist():
        shared_by = [entry["processes"] for entry in history["processes"] if entry["from_step"] <= row["step"]]
        assert row["process"] == row["batch"] % shared_by[-1]
    assert set(resumed["process"].to_pylist()) == {0, 1, 2, 3}
    assert not list((tmp_path / "together").glob(".train.parts/*/step-*"))


@pytest.mark.slow
def test_one_process_complains_of_what_all_find(arguments: list[str], tmp_path: Path) -> None:
    process = start(2, ["-m", "storm_core.cli", *arguments, *outputs(tmp_path / "out"), "--processes=4"])
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    lines = [line for line in errors.splitlines() if "storm train: " in line and ": starts" not in line]
    assert lines == ["storm train: error: processes=4 were asked for, and torchrun started 2"]


@pytest.mark.slow
def test_process_that_is_killed_ends_all_with_one_line(arguments: list[str], tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(COMMAND)
    process = start(2, [str(program), "KILL", "2", *arguments, *outputs(tmp_path / "out")], VICTIM="1")
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    (line,) = [line for line in errors.splitlines() if "storm train: " in line and ": starts" not in line]
    assert "error: process 0 lost another one" in line
    assert not (tmp_path / "out/tuned").exists()


@pytest.mark.slow
def test_torchrun_told_to_stop_keeps_a_checkpoint_of_all_processes(arguments: list[str], tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(COMMAND)
    process = start(2, [str(program), "TERM", "3", *arguments, *outputs(tmp_path / "out"), "--checkpoint-minutes=60"])
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    (line,) = [line for line in errors.splitlines() if "stopped (SIGTERM)" in line]
    kept = re.search(r"the checkpoint of step (\d+) is kept", line)
    assert kept
    assert int(kept[1]) >= 3
    assert list((tmp_path / "out").glob(".train.parts/*/step-*/complete.*"))


@pytest.mark.parametrize(
    ("started", "options", "message"),
    [
        (2, {"processes": 4}, "processes=4 were asked for, and torchrun started 2"),
        (1, {"processes": 2}, "processes=2 were asked for, and torchrun started 1"),
        (4, {"gradient_accumulation_steps": 6}, "cannot be shared by 4 processes.*give a multiple of 4"),
    ],
)
def test_number_of_processes_that_does_not_fit_is_refused(
    started: int, options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(started))
    with pytest.raises(InputError, match=message):
        check_processes(TrainConfig(**options))


def test_pod_of_several_that_torchrun_did_not_start_is_refused() -> None:
    with pytest.raises(InputError, match="PET_NNODES=2 asks for several processes, and this is one"):
        check_started({"PET_NNODES": "2", "PET_NPROC_PER_NODE": "1"})
    check_started({"PET_NNODES": "2", "WORLD_SIZE": "2"})
    check_started({"PET_NNODES": "1", "PET_NPROC_PER_NODE": "auto"})
