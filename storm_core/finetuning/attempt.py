"""One attempt at a training: on from the newest checkpoint, to the end or until told to stop."""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from storm_core import processes
from storm_core.devices import resolve_device
from storm_core.finetuning.batches import BatchTensors
from storm_core.finetuning.checkpoint_writer import CheckpointWriter
from storm_core.finetuning.config import TrainConfig
from storm_core.finetuning.course import Course
from storm_core.finetuning.data_order import Batch
from storm_core.finetuning.exchange import add_up, any_process
from storm_core.finetuning.freezing import trained_names
from storm_core.finetuning.history import validation_is_due
from storm_core.finetuning.learner import Learner
from storm_core.finetuning.tokenization import TokenizedExample
from storm_core.finetuning.utilization import utilization_of
from storm_core.finetuning.watching import Watcher, watch
from storm_core.pacing import Pace
from storm_core.process_group import group_of_one
from storm_core.progress import report
from storm_core.stopping import Stopped, StopRequest, listen_for_stop
from storm_core.stores.partial_results import PartialResults

# A checkpoint of a small model takes a second, one of 8 billion parameters minutes: too much for the first minute.
_FIRST_SECONDS = 300.0
_SHORTEST_SECONDS = 60.0


def train(
    learner: Learner,
    plan: Sequence[Sequence[Batch]],
    validation: Sequence[TokenizedExample],
    held_out: Sequence[TokenizedExample],
    config: TrainConfig,
    partial_results: PartialResults,
    scratch: Path,
) -> Course:
    """Train to the end of `plan`, or until the validation loss has not fallen for long enough; returns the course.

    Raises:
        Stopped: the process was told to stop. What was trained since the last checkpoint is kept as one.
    """
    with group_of_one(), listen_for_stop() as stop:
        writer = CheckpointWriter(partial_results, scratch)
        try:
            course = writer.restore(learner) or Course()
            if course.done:
                report(f"train: continues after step {course.done} of {len(plan)}")
            utilization = utilization_of(learner.model, trained_names(learner.model))
            with watch(len(plan), course, utilization) as watcher:
                Attempt(learner, plan, validation, held_out, config, writer, stop, watcher).run(course)
        finally:
            writer.close()
    return course


@dataclass
class Attempt:
    """What an attempt works with."""

    learner: Learner
    plan: Sequence[Sequence[Batch]]
    validation: Sequence[TokenizedExample]
    held_out: Sequence[TokenizedExample]
    config: TrainConfig
    writer: CheckpointWriter
    stop: StopRequest
    watcher: Watcher

    def __post_init__(self) -> None:
        self._pace = Pace(
            first_seconds=_FIRST_SECONDS,
            shortest_seconds=_SHORTEST_SECONDS,
            longest_seconds=60 * self.config.checkpoint_minutes,
        )
        self._kept_step = 0

    def run(self, course: Course) -> None:
        """Go on from `course`, which is kept already, and bring it to the end."""
        self._kept_step = course.done
        if course.done == 0:
            self._note_held_out(course, 0)
        self._validate(course)
        with self.learner.load(self.plan[course.done :]) as loaded:
            while course.done < len(self.plan) and not self._gains_nothing(course):
                self._update(course, loaded)
                stopping, due = (count > 0 for count in add_up([self.stop.requested, self._is_due(course.done)]))
                if stopping:
                    self._leave(course)
                self._validate(course)
                if due:
                    self._keep(course)
        self.writer.wait()
        kept = course.kept_step(self.config.weights_kept)
        if kept != course.done:
            self.writer.restore_best(course, self.learner)
            report(f"train: the weights of step {kept} are kept, which had the lowest validation loss")
        self._note_held_out(course, kept)
        if any_process(self.stop.requested):
            self._leave(course)

    def _update(self, course: Course, loaded: Iterator[BatchTensors]) -> None:
        update = self.learner.update(course.done, len(self.plan), self.plan[course.done], loaded)
        course.note_update(update)
        self.watcher.updated(course, update)

    def _validate(self, course: Course) -> None:
        """Take the validation loss where it is due; when told to stop, it is left to the next attempt."""
        if not validation_is_due(course, len(self.plan), self.config.evaluations):
            return
        losses = self.learner.mean_losses(self.validation, lambda: self.stop.requested, self.watcher.validating)
        if losses is None:
            self._leave(course)
        is_best = course.note_validation(losses)
        self.watcher.validated(course)
        if is_best and self.config.weights_kept == "best":
            self.writer.keep_best(course, self.learner)

    def _note_held_out(self, course: Course, step: int) -> None:
        """Take the mean loss over the tokens of the text held out; when told to stop, the next attempt takes it."""
        if not self.held_out:
            return
        losses = self.learner.mean_losses(self.held_out, lambda: self.stop.requested, self.watcher.validating)
        if losses is None:
            self._leave(course)
        tokens = [len(piece.labels) - 1 for piece in self.held_out]
        loss = sum(loss * count for loss, count in zip(losses, tokens, strict=True)) / sum(tokens)
        course.held_out.append({"step": step, "loss": loss})

    def _gains_nothing(self, course: Course) -> bool:
        patience = self.config.patience
        if not patience or course.passes_without_gain() < patience:
            return False
        report(f"train: ends after step {course.done}: the validation loss has not fallen in {patience} passes")
        return True

    def _is_due(self, step: int) -> bool:
        steps = self.config.checkpoint_steps
        by_step = steps > 0 and step - self._kept_step >= steps
        return processes.is_main() and (by_step or self._pace.is_due())

    def _keep(self, course: Course) -> None:
        """Begin a checkpoint; what it costs decides when the next one is due.

        Beside a GPU that is the copying alone: the writing goes on while the GPU computes. On a CPU the writing takes
        the processors from the training, so all of it counts.
        """
        began = self._pace.now()
        if resolve_device().type == "cpu":
            self.writer.keep(course, self.learner, partial(self._pace.wrote, began))
            self._pace.restart()
        else:
            self.writer.keep(course, self.learner)
            self._pace.wrote(since=began)
        self._kept_step = course.done

    def _leave(self, course: Course) -> NoReturn:
        """Keep what was trained, unless it is kept already, and end the process."""
        step = course.done
        if step > self._kept_step:
            self.writer.keep(course, self.learner)
        self.writer.wait()
        left = f"the checkpoint of step {step} is kept" if step else "no step was made yet"
        # Without a signal of its own where another process was told.
        raise Stopped(self.stop.signal or signal.SIGTERM, f"{left}, and the same command continues from there")
