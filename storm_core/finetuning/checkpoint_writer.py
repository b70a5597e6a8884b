"""Checkpoints written while training goes on, by all processes together, and read by as many as there are then."""

import secrets
import shutil
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import Tensor

from storm_core import processes
from storm_core.finetuning.course import Course
from storm_core.finetuning.exchange import gather
from storm_core.finetuning.learner import Learner, trained_parameters
from storm_core.finetuning.snapshots import begin_save, empty_moments, load, moments_of, restore_moments, weights_of
from storm_core.finetuning.training_checkpoints import TrainingCheckpoints
from storm_core.stores.partial_results import PartialResults

# What follows once a checkpoint is whole.
Then = Callable[[], None]


class CheckpointWriter:
    """Keeps the newest checkpoint of a training and, besides it, the weights of the best validation loss.

    One checkpoint is written at a time, in the background; who wants to write the next one waits for it. Every method
    is called in every process.
    """

    def __init__(self, partial_results: PartialResults, scratch: Path) -> None:
        """`scratch` is a directory of this process, on a disk with room for its share of a checkpoint."""
        attempt = gather(secrets.token_hex(4))[0]
        self._newest = TrainingCheckpoints(partial_results, "step", attempt)
        self._best = TrainingCheckpoints(partial_results, "best", attempt)
        self._scratch = scratch
        # Of its own: the background must not come between what the training exchanges.
        self._group = dist.new_group(backend="gloo")
        self._background = ThreadPoolExecutor(max_workers=1)
        self._pending: Future[None] | None = None

    def keep(self, course: Course, learner: Learner, then: Then = lambda: None) -> None:
        """Begin to write the checkpoint of where `course` stands; `then` follows in the main process."""
        trained = trained_parameters(learner.model)
        tensors = {**weights_of(trained), **moments_of(trained, learner.optimizer)}
        best = course.best

        def finish() -> None:
            self._newest.drop_before(step)
            if best is not None:
                self._best.drop_before(best)
            then()

        step = course.done
        self._begin(self._newest, tensors, step, course.as_json(), finish)

    def keep_best(self, course: Course, learner: Learner) -> None:
        """Begin to write the weights as they are now, the best so far."""
        self._begin(self._best, weights_of(trained_parameters(learner.model)), course.done, None, lambda: None)

    def restore(self, learner: Learner) -> Course | None:
        """Continue from the newest usable checkpoint; returns its course, or None where there is none."""
        trained = trained_parameters(learner.model)
        moments = empty_moments(trained)
        state = self._load(self._newest, {**weights_of(trained), **moments}, None)
        if state is None:
            return None
        course = Course.from_json(state)
        if processes.is_main():
            self._newest.drop_before(course.done)
        restore_moments(trained, learner.optimizer, moments, course.done)
        return course

    def restore_best(self, course: Course, learner: Learner) -> None:
        """Go back to the weights of the best validation loss.

        Raises:
            RuntimeError: they are not there any more.
        """
        self.wait()
        if self._load(self._best, weights_of(trained_parameters(learner.model)), course.best) is None:
            raise RuntimeError(f"the weights of step {course.best}, the best, are not in the store any more")

    def wait(self) -> None:
        """Wait until what is being written is kept."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Let what is being written come to its end, whatever became of the training."""
        self._background.shutdown()

    def _begin(
        self, kept: TrainingCheckpoints, tensors: Mapping[str, Tensor], step: int, state: Any, then: Then
    ) -> None:
        self.wait()
        directory = self._scratch / f"checkpoint-{step}"
        saved = begin_save(tensors, directory, self._group)
        self._pending = self._background.submit(self._finish, kept, saved, directory, step, state, then)

    def _finish(
        self, kept: TrainingCheckpoints, saved: "Future[Any]", directory: Path, step: int, state: Any, then: Then
    ) -> None:
        """Bring what was saved to the store; the main process completes it once all have."""
        saved.result()
        own = kept.keep_files(directory, step)
        by_process: list[Any] = [None] * processes.world_size()
        dist.all_gather_object(by_process, own, group=self._group)
        if processes.is_main():
            kept.complete(step, [name for names in by_process for name in names], state, self._scratch)
            then()

    def _load(self, kept: TrainingCheckpoints, tensors: Mapping[str, Tensor], step: int | None) -> Any:
        """Fill `tensors` from a checkpoint; returns its state, True where it has none, or None where there is none."""
        while True:
            found = gather(kept.find(self._scratch, step) if processes.is_main() else None)[0]
            if found is None:
                return None
            folder, state = found
            fault = self._load_from(kept, folder, tensors)
            if fault is None:
                return True if state is None else state
            if processes.is_main():
                kept.refuse(folder, fault)

    def _load_from(self, kept: TrainingCheckpoints, folder: str, tensors: Mapping[str, Tensor]) -> str | None:
        """The processes of a machine read what one of them fetched. Returns what is wrong with the files, or None."""
        own = self._scratch / "earlier"
        places = gather((socket.gethostname(), str(own)))
        of_machine = next(Path(place) for host, place in places if host == socket.gethostname())
        fault = kept.fetch(folder, own) if of_machine == own else None
        fault = next((one for one in gather(fault) if one), None)
        if fault is None:
            load(tensors, of_machine)
        gather(None)  # All have read.
        shutil.rmtree(own, ignore_errors=True)
        return fault
