"""When the next checkpoint of a training is due, by what the last one cost."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest
import torch

from storm_core.finetuning import attempt
from storm_core.finetuning.attempt import Attempt
from storm_core.finetuning.config import TrainConfig
from storm_core.finetuning.course import Course
from storm_core.pacing import Pace

# Of a checkpoint: what the training waits for, and what goes on beside it.
COPYING, WRITING = 2.0, 9.0


class Clock:
    """A time in seconds that passes when told to."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


class Writer:
    """Takes `COPYING` seconds to begin a checkpoint, and holds what follows once it is whole."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.then: Callable[[], None] = lambda: None

    def keep(self, _course: Course, _learner: object, then: Callable[[], None] = lambda: None) -> None:
        self._clock.time += COPYING
        self.then = then


@pytest.mark.parametrize(("device", "cost"), [("cpu", COPYING + WRITING), ("cuda", COPYING)])
def test_writing_beside_the_training_counts_where_it_takes_the_processors_from_it(
    device: str, cost: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    writer = Writer(clock)
    monkeypatch.setattr(attempt, "Pace", partial(Pace, clock=clock))
    monkeypatch.setattr(attempt, "resolve_device", lambda: torch.device(device))
    nothing = cast(Any, None)
    trained = Attempt(nothing, [], [], [], TrainConfig(), cast(Any, writer), nothing, nothing)
    trained._keep(Course())
    begun = clock.time
    clock.time += WRITING
    writer.then()
    counted_from = clock.time if device == "cpu" else begun
    clock.time = counted_from + 50 * cost - 1
    assert not trained._is_due(1)
    clock.time += 2
    assert trained._is_due(1)
