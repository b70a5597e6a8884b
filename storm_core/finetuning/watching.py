"""How a training goes, for a person and for MLflow's curves; what is shown here decides nothing."""

import contextlib
import resource
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from storm_core.finetuning.course import Course
from storm_core.finetuning.learner import Update
from storm_core.finetuning.utilization import Utilization
from storm_core.heartbeat import Activity, activity, in_words
from storm_core.progress import report, shows_bars
from storm_core.tracking import current_run

if TYPE_CHECKING:
    from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 15.0


@contextlib.contextmanager
def watch(updates: int, course: Course, utilization: Utilization) -> Iterator["Watcher"]:
    """Shows what goes on from `course` to the end, after so many `updates`."""
    with activity("train") as current, contextlib.ExitStack() as stack:
        bar = None
        if shows_bars():
            from tqdm import tqdm

            bar = stack.enter_context(tqdm(total=updates, initial=course.done, desc="train", unit="step", leave=False))
        yield Watcher(updates, current, bar, utilization)


class Watcher:
    """A bar on a terminal, a line now and then elsewhere, and a point on each curve for each update."""

    def __init__(self, updates: int, current: Activity, bar: "tqdm[Any] | None", utilization: Utilization) -> None:
        """`current` is told how far the training is."""
        self._updates = updates
        self._current = current
        self._bar = bar
        self._utilization = utilization
        self._said = self._began = self._last = time.monotonic()
        self._tokens = self._count = 0
        self._batches = 0

    def updated(self, course: Course, update: Update) -> None:
        """Show an update that was just made."""
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        tokens = sum(update.lengths)
        self._tokens += tokens
        self._count += 1
        self._batches = 0
        self._draw(course)
        curve = {
            "loss": update.loss,
            "learning_rate": update.learning_rate,
            "gradient_norm": update.gradient_norm,
            "tokens_per_second": tokens / seconds,
            "memory_gb": peak_memory() / 1e9,
        }
        mfu = self._utilization(update, seconds)
        if mfu is not None:
            curve["mfu"] = mfu
        current_run().log_metrics(curve, step=course.done)

    def validating(self) -> None:
        """Show that a validation pass has come a batch further."""
        self._batches += 1
        self._current.state = f"{self._current.state.partition(', validation')[0]}, validation batch {self._batches}"

    def validated(self, course: Course) -> None:
        """Put the loss of a validation pass on its curve, and leave its time out of the speed."""
        self._began += time.monotonic() - self._last
        self._last = time.monotonic()
        current_run().log_metrics({"validation_loss": course.validation[-1]["loss"]}, step=course.done)

    def _draw(self, course: Course) -> None:
        loss = f"loss {course.train[-1]['loss']:.3f}"
        seconds = self._last - self._began
        speed = f"{self._tokens / seconds:.0f} tokens/s"
        left = in_words((self._updates - course.done) * seconds / self._count)
        self._current.state = f"{course.done} of {self._updates} steps  {loss}  {speed}  {left} left"
        if self._bar is not None:
            self._bar.set_postfix_str(f"{loss}, {speed}", refresh=False)
            self._bar.update()
        elif self._last - self._said >= _SECONDS_BETWEEN_LINES:
            report(f"train: {self._current.state}")
            self._said = self._last


def peak_memory() -> int:
    """The most bytes in use so far: of the GPU where there is one, else of the process."""
    if torch.cuda.is_available():
        peak: int = torch.cuda.max_memory_allocated()
        return peak
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
