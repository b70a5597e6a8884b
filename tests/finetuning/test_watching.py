"""What is shown of a training: points on MLflow's curves, and how far it is."""

from pathlib import Path
from typing import Any

import pytest
import torch

from storm_core.checkpoints.loading import load_model
from storm_core.finetuning.course import Course
from storm_core.finetuning.learner import Update
from storm_core.finetuning.model_flops import PEAK_FLOPS_PER_SECOND
from storm_core.finetuning.utilization import utilization_of
from storm_core.finetuning.watching import Watcher
from storm_core.heartbeat import Activity
from storm_core.tracking.stage_run import StageRun

UPDATE = Update(loss=2.5, gradient_norm=1.5, learning_rate=0.1, lengths=[300, 200], answers=40)


def test_each_update_is_a_point_on_every_curve_and_a_time_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    points: list[tuple[int, dict[str, float]]] = []
    monkeypatch.setattr(StageRun, "log_metrics", lambda _, metrics, step: points.append((step, dict(metrics))))
    clock = iter([100.0, 102.0, 104.0])
    monkeypatch.setattr("storm_core.finetuning.watching.time.monotonic", lambda: next(clock))
    current = Activity("train", started=0.0)
    watcher, course = Watcher(12, current, None, lambda *_: 0.4), Course()
    for _ in range(2):
        course.note_update(UPDATE)
        watcher.updated(course, UPDATE)
    assert current.state == "2 of 12 steps  loss 2.500  250 tokens/s  20 s left"
    (_, (step, curve)) = points
    assert step == 2
    assert curve.pop("memory_gb") > 0
    assert curve == {"loss": 2.5, "learning_rate": 0.1, "gradient_norm": 1.5, "tokens_per_second": 250.0, "mfu": 0.4}


def test_utilization_is_that_of_all_devices_and_unknown_where_the_device_is(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = load_model(tiny_llama, torch.float32)
    trained = {name for name, _ in model.named_parameters()}
    assert utilization_of(model, trained)(UPDATE, 2.0) is None

    device, peak = next(iter(PEAK_FLOPS_PER_SECOND.items()))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: device)
    alone = utilization_of(model, trained)(UPDATE, 2.0)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert alone is not None
    assert utilization_of(model, trained)(UPDATE, 2.0) == pytest.approx(alone / 4)
    # All is trained: forwards once and backwards twice, two operations for each weight and token of the layers.
    layers = sum(one.numel() for name, one in model.named_parameters() if "proj" in name)
    assert alone * 2.0 * peak == pytest.approx(6 * 500 * layers, rel=0.5)
