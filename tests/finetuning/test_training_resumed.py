"""A training that is killed or told to stop and begun again gives what an uninterrupted one gives, bit for bit."""

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from torch.optim.optimizer import register_optimizer_step_post_hook

from storm_core.execution import Outcome, execute
from storm_core.finetuning.config import TRAIN, TrainConfig
from storm_core.finetuning.learner import Learner

# Five updates an epoch.
OPTIONS: dict[str, Any] = {
    "epochs": 2.0,
    "batch_size": 2,
    "learning_rate": 0.01,
    "warmup_ratio": 0.0,
    "evaluations": 2,
    "dtype": "float32",
}
EVERY_STEP: dict[str, Any] = {"checkpoint_minutes": 0.0}


class KilledError(BaseException):
    """Ends an attempt where it stands, as SIGKILL would."""


class Updates:
    """Counts the optimizer's steps, and does `act` after the one numbered `at`."""

    def __init__(self) -> None:
        self.count = 0
        self.at = 0
        self.act: Callable[[], None] = lambda: None

    def __call__(self, *_: Any) -> None:
        self.count += 1
        if self.count == self.at:
            self.act()


@pytest.fixture
def updates() -> Iterator[Updates]:
    counter = Updates()
    hook = register_optimizer_step_post_hook(counter)
    yield counter
    hook.remove()


@pytest.fixture(scope="module")
def model(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with dropout: its results depend on the state of the random numbers."""
    directory = tmp_path_factory.mktemp("dropout") / "model"
    shutil.copytree(tiny_llama, directory)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.2}))
    return directory


@pytest.fixture
def train(model: Path, selection: Path, tiny_scan: Path, tmp_path: Path) -> Callable[..., Outcome]:
    def run(output: str, **options: Any) -> Outcome:
        return execute(
            TRAIN,
            TrainConfig(**{**OPTIONS, **options}),
            inputs={"model": [str(model)], "selection": [str(selection)], "scan": [str(tiny_scan)]},
            outputs={name: tmp_path / output / name for name in TRAIN.outputs},
            value_files={},
        )

    return run


def digests(outcome: Outcome) -> dict[str, str]:
    return {name: manifest.digest for name, manifest in outcome.manifests.items()}


def kill() -> None:
    raise KilledError


def tell_to_stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("options", "total", "at"),
    [
        ({}, 10, 1),
        ({}, 10, 3),
        ({}, 10, 6),
        ({}, 10, 9),
        ({"gradient_accumulation_steps": 2}, 6, 3),
        ({"gradient_accumulation_steps": 2, "dtype": "bfloat16"}, 6, 5),
        ({"epochs": 1.5}, 8, 7),
    ],
)
def test_killed_run_goes_on_to_the_same_bytes(
    options: dict[str, Any], total: int, at: int, train: Callable[..., Outcome], updates: Updates
) -> None:
    expected = digests(train("reference", **options))
    assert updates.count == total
    updates.count, updates.at, updates.act = 0, at, kill
    with pytest.raises(KilledError):
        train("resumed", **EVERY_STEP, **options)
    outcome = train("resumed", **EVERY_STEP, **options)
    assert digests(outcome) == expected
    # The update that the kill came in had no checkpoint yet; no other is made twice.
    assert updates.count == total + 1


def test_run_killed_after_its_last_update_only_writes(
    train: Callable[..., Outcome], updates: Updates, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = digests(train("reference", epochs=1.5))
    with monkeypatch.context() as patched, pytest.raises(KilledError):
        patched.setattr("storm_core.finetuning.stage.write_weights", lambda *_: kill())
        train("resumed", epochs=1.5, **EVERY_STEP)
    updates.count = 0
    assert digests(train("resumed", epochs=1.5, **EVERY_STEP)) == expected
    assert updates.count == 0


@pytest.mark.parametrize("at", [1, 4, 5, 10])
def test_run_told_to_stop_exits_with_143_and_loses_no_update(
    at: int,
    train: Callable[..., Outcome],
    updates: Updates,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    expected = digests(train("reference"))
    updates.count, updates.at, updates.act = 0, at, tell_to_stop
    with pytest.raises(SystemExit) as stopped:
        train("resumed")
    assert stopped.value.code == 143
    assert updates.count == at
    assert f"stopped (SIGTERM); the checkpoint of step {at} is kept" in str(stopped.value)
    assert digests(train("resumed")) == expected
    assert updates.count == 10
    assert f"train: continues after step {at} of 10" in capsys.readouterr().err
    left = [path for path in (tmp_path / "resumed" / ".train.parts").rglob("*") if path.is_file()]
    assert all(path.name.startswith("tokens.arrow.") for path in left)


@pytest.mark.parametrize(("passes", "step"), [(1, 0), (4, 5), (8, 10)])
def test_run_told_to_stop_while_it_validates_takes_that_pass_again(
    passes: int,
    step: int,
    train: Callable[..., Outcome],
    updates: Updates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = digests(train("reference"))
    validated = 0
    mean_loss = Learner._mean_loss

    def noted(self: Learner, *arguments: Any) -> Any:
        nonlocal validated
        validated += 1
        if validated == passes:
            tell_to_stop()
        return mean_loss(self, *arguments)

    monkeypatch.setattr(Learner, "_mean_loss", noted)
    updates.count = 0
    with pytest.raises(SystemExit) as stopped:
        train("resumed")
    assert ("no step was made yet" if step == 0 else f"step {step} is kept") in str(stopped.value)
    assert updates.count == step
    assert digests(train("resumed")) == expected
    assert updates.count == 10


def test_signal_has_its_earlier_effect_again_after_training(train: Callable[..., Outcome]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    train("out", epochs=0.4)
    assert signal.getsignal(signal.SIGTERM) is before


def test_altered_checkpoint_is_told_of_and_training_begins_anew(
    train: Callable[..., Outcome], updates: Updates, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = digests(train("reference"))
    updates.count, updates.at, updates.act = 0, 4, kill
    with pytest.raises(KilledError):
        train("resumed", **EVERY_STEP)
    (shard,) = (tmp_path / "resumed" / ".train.parts").rglob("shard-*")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    updates.count, updates.at = 0, 0
    assert digests(train("resumed", **EVERY_STEP)) == expected
    assert updates.count == 10
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "is ignored" in line)
    assert re.search(r"step 3 has no shard-00001\S*, or an altered one", line)


def test_updates_of_a_resumed_run_are_those_of_the_whole(
    train: Callable[..., Outcome], updates: Updates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[list[str]] = []
    tensors = Learner._tensors

    def noted(self: Learner, batch: Sequence[int]) -> Any:
        computed.append([self._examples[number].id for number in batch])
        return tensors(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "_tensors", noted)
        train("reference")
    updates.count, updates.at, updates.act = 0, 7, kill
    with pytest.raises(KilledError):
        train("resumed", **EVERY_STEP)
    train("resumed", **EVERY_STEP)
    first, second = (
        pq.read_table(tmp_path / name / "training/updates.parquet").to_pylist() for name in ("reference", "resumed")
    )
    assert first == second
    assert [row["examples"] for row in first] == computed
    assert [(row["step"], row["batch"], row["process"]) for row in first] == [(step, 0, 0) for step in range(1, 11)]
    passes = [[row["examples"] for row in first[:5]], [row["examples"] for row in first[5:]]]
    assert passes[0] != passes[1]
    for taken in passes:
        assert len({example for examples in taken for example in examples}) == 10


def test_best_weights_are_found_again_by_a_resumed_run(
    train: Callable[..., Outcome], updates: Updates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worse_at_the_end(self: Learner, examples: Any, *_: Any) -> list[float]:
        return [float(updates.count > 5) + 1.0] * len(examples)

    monkeypatch.setattr(Learner, "mean_losses", worse_at_the_end)
    best: dict[str, Any] = {"weights_kept": "best"}
    expected = digests(train("reference", **best))["tuned_model"]
    assert expected != digests(train("last"))["tuned_model"]
    updates.count, updates.at, updates.act = 0, 8, kill
    with pytest.raises(KilledError):
        train("resumed", **best, **EVERY_STEP)
    assert digests(train("resumed", **best, **EVERY_STEP))["tuned_model"] == expected


def test_training_ends_once_the_validation_loss_has_not_fallen_for_long_enough(
    train: Callable[..., Outcome], updates: Updates, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Learner, "mean_losses", lambda *_: [float(updates.count)])
    outcome = train("out", evaluations=5, patience=2)
    assert outcome.metrics["updates"] == updates.count == 6
    assert "ends after step 6: the validation loss has not fallen in 2 passes" in capsys.readouterr().err


def test_no_checkpoint_is_written_before_its_time(
    train: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    monkeypatch.setattr(
        "storm_core.finetuning.checkpoint_writer.CheckpointWriter.keep",
        lambda _, course, *__: kept.append(course.done),
    )
    train("out")
    assert kept == []
    train("by step", checkpoint_steps=4)
    assert kept == [4, 8]


def test_run_goes_on_from_what_one_with_checkpoints_at_other_steps_left(
    train: Callable[..., Outcome], updates: Updates, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = digests(train("reference"))
    updates.count, updates.at, updates.act = 0, 9, kill
    with pytest.raises(KilledError):
        train("resumed", checkpoint_steps=3)
    # Killed two updates after step 6, it has no checkpoint of its own.
    updates.count, updates.at, updates.act = 0, 2, kill
    with pytest.raises(KilledError):
        train("resumed", checkpoint_steps=3, checkpoint_minutes=30.0)
    assert digests(train("resumed")) == expected
    assert capsys.readouterr().err.count("continues after step 6 of 10") == 2
