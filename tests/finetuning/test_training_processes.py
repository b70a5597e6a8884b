"""A training by one, two and four processes: the same updates, the same losses, and frozen weights that stay."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from storm_core.execution import execute
from storm_core.finetuning.config import TRAIN, TrainConfig
from storm_core.records import write_examples
from tests.finetuning.conftest import conversation, questions
from tests.finetuning.torchrun import train_together

OPTIONS: dict[str, Any] = {
    "epochs": 2.0,
    "batch_size": 2,
    "gradient_accumulation_steps": 4,
    "learning_rate": 0.01,
    "warmup_ratio": 0.0,
    "evaluations": 2,
    "dtype": "float32",
}
CASES: dict[str, dict[str, Any]] = {
    "copies": {},
    "copies_packed": {"packing": True, "max_length": 120},
    "shares": {"sharding": "full"},
    "shares_packed": {"sharding": "full", "packing": True, "max_length": 120},
    "shares_recomputed": {"sharding": "full", "gradient_checkpointing": True},
    "copies_recomputed": {"gradient_checkpointing": True},
}


@pytest.fixture(scope="module")
def inputs(tiny_llama: Path, tiny_scan: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Examples whose answers differ tenfold in length, in batches that do."""
    selection = tmp_path_factory.mktemp("uneven")
    uneven = [conversation(f"How easy is {n}?", f"{n} " * (40 if n % 2 else 4)) for n in range(21)]
    write_examples(selection / "train.parquet", uneven)
    write_examples(selection / "validation.parquet", questions(5))
    return {"model": [str(tiny_llama)], "selection": [str(selection)], "scan": [str(tiny_scan)]}


@pytest.fixture(scope="module")
def trained(inputs: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of each case, below the number of processes."""
    root = tmp_path_factory.mktemp("trained")
    for case, options in CASES.items():
        outputs = {name: root / "1" / case / name for name in TRAIN.outputs}
        execute(TRAIN, TrainConfig(**OPTIONS, **options), inputs, outputs, {})
    for processes in (2, 4):
        cases = {root / str(processes) / case: {**OPTIONS, **options} for case, options in CASES.items()}
        train_together(processes, inputs, cases, root)
    return root


def history(directory: Path) -> Any:
    return json.loads((directory / "training/history.json").read_text())


def losses(directory: Path) -> list[float]:
    content = history(directory)
    return [point["loss"] for name in ("train", "validation") for point in content[name]]


def examples(directory: Path) -> list[dict[str, Any]]:
    table = pq.read_table(directory / "training/updates.parquet")
    rows: list[dict[str, Any]] = table.drop_columns("process").to_pylist()
    return rows


def shares(directory: Path) -> list[tuple[int, int]]:
    """Number and process of every batch."""
    table = pq.read_table(directory / "training/updates.parquet")
    return list(zip(table["batch"].to_pylist(), table["process"].to_pylist(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("case", CASES)
def test_losses_and_updates_are_those_of_one_process(processes: int, case: str, trained: Path) -> None:
    alone, together = trained / "1" / case, trained / str(processes) / case
    assert losses(together) == pytest.approx(losses(alone), abs=1e-5)
    # AdamW hides gradients that are all too large or too small.
    norms = [[point["gradient_norm"] for point in history(directory)["train"]] for directory in (alone, together)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-4)
    assert examples(together) == examples(alone)
    assert {process for _, process in shares(together)} == set(range(processes))
    assert all(process == batch % processes for batch, process in shares(together))
    assert history(together)["processes"] == [{"from_step": 1, "processes": processes}]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_frozen_weights_stay_bit_identical_and_trained_ones_move_alike(
    case: str, trained: Path, tiny_llama: Path
) -> None:
    before = load_file(tiny_llama / "model.safetensors")
    proof = json.loads((trained / "4" / case / "training/freezing.json").read_text())["tensors"]
    alone, together = (load_file(trained / count / case / "tuned_model/model.safetensors") for count in ("1", "4"))
    for name, weight in before.items():
        assert together[name].equal(weight) != proof[name]["trained"], name
        assert together[name].float() == pytest.approx(alone[name].float(), rel=0.01, abs=1e-3)
