"""A training that is killed or told to stop and begun again gives what an uninterrupted one gives, bit for bit."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from torch.optim.optimizer import register_optimizer_step_post_hook

from storm_core.execution import Outcome, execute
from storm_core.finetuning.config import TRAIN, TrainConfig
from storm_core.finetuning.length_grouping import LengthGroupedSampler
from storm_core.finetuning.training import AnswerTrainer

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
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "SIGTERM" in line)
    assert f"the checkpoint of step {at} is kept" in line
    assert digests(train("resumed")) == expected
    assert updates.count == 10
    assert f"train: continues after step {at} of 10" in capsys.readouterr().err
    assert not list((tmp_path / "resumed").glob(".train.parts/*"))


@pytest.mark.parametrize(("passes", "step"), [(1, 0), (4, 5), (8, 10)])
def test_run_told_to_stop_while_it_validates_takes_that_pass_again(
    passes: int,
    step: int,
    train: Callable[..., Outcome],
    updates: Updates,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = digests(train("reference"))
    validated = 0

    def prediction_step(self: AnswerTrainer, *arguments: Any, **options: Any) -> Any:
        nonlocal validated
        validated += 1
        if validated == passes:
            tell_to_stop()
        return super(AnswerTrainer, self).prediction_step(*arguments, **options)

    monkeypatch.setattr(AnswerTrainer, "prediction_step", prediction_step, raising=False)
    updates.count = 0
    with pytest.raises(SystemExit):
        train("resumed")
    assert ("no step was made yet" if step == 0 else f"step {step} is kept") in capsys.readouterr().err
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
    (optimizer,) = (tmp_path / "resumed" / ".train.parts").rglob("optimizer.pt.*")
    content = bytearray(optimizer.read_bytes())
    content[len(content) // 2] ^= 1
    optimizer.write_bytes(content)
    updates.count, updates.at = 0, 0
    assert digests(train("resumed", **EVERY_STEP)) == expected
    assert updates.count == 10
    assert "the checkpoint of step 3 has no optimizer.pt, or an altered one" in capsys.readouterr().err


def test_each_epoch_has_its_own_order_in_a_resumed_run_too(
    train: Callable[..., Outcome], updates: Updates, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[list[int]] = []

    def noted(sampler: LengthGroupedSampler) -> Iterator[int]:
        orders.append(list(in_order(sampler)))
        return iter(orders[-1])

    in_order = LengthGroupedSampler.__iter__
    monkeypatch.setattr(LengthGroupedSampler, "__iter__", noted)
    train("reference")
    updates.count, updates.at, updates.act = 0, 7, kill
    with pytest.raises(KilledError):
        train("resumed", **EVERY_STEP)
    train("resumed", **EVERY_STEP)
    first, second, *resumed = orders
    assert first != second
    assert resumed == [first, second, second]


def test_no_checkpoint_is_written_before_its_time(
    train: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    monkeypatch.setattr(
        "storm_core.finetuning.training_checkpoints.TrainingCheckpoints.keep", lambda _, __, step: kept.append(step)
    )
    train("out")
    assert kept == []
