"""One attempt at a training: on from the newest checkpoint, to the end or until told to stop."""

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from storm_core.finetuning.history import Progress, validation_is_due
from storm_core.finetuning.training_checkpoints import TrainingCheckpoints
from storm_core.heartbeat import activity
from storm_core.pacing import Pace
from storm_core.progress import report
from storm_core.stopping import EXIT_CODE, StopRequest, listen_for_stop

if TYPE_CHECKING:
    from storm_core.finetuning.training import AnswerTrainer

# A checkpoint of a small model takes a second, one of 8 billion parameters minutes: too much for the first minute.
_FIRST_SECONDS = 300.0
_SHORTEST_SECONDS = 60.0


class LeaveTrainingError(Exception):
    """Raised by a callback to get out of the trainer's loops: they have no other way out of a validation pass."""


def train(
    trainer: "AnswerTrainer",
    checkpoints: TrainingCheckpoints,
    scratch: Path,
    *,
    checkpoint_minutes: float,
    evaluations: int,
) -> int:
    """Train to the end; returns how many updates an earlier attempt had made. `scratch` is the trainer's directory.

    Raises:
        SystemExit: SIGTERM came. What was trained since the last checkpoint is kept as one; the exit code is 143.
    """
    earlier = scratch / "earlier"
    start = checkpoints.restore(earlier)
    if start is not None:
        state = TrainerState.load_from_json(str(earlier / "trainer_state.json"))
        report(f"train: continues after step {start} of {state.max_steps}")
        trainer.args.eval_on_start = validation_is_due(state, evaluations)
    with listen_for_stop() as stop, activity("train") as current:
        trainer.add_callback(Progress(current))
        checkpointing = Checkpointing(checkpoints, stop, checkpoint_minutes, scratch)
        trainer.add_callback(checkpointing)
        with contextlib.suppress(LeaveTrainingError):
            trainer.train(resume_from_checkpoint=None if start is None else str(earlier))
        if stop.requested:
            _leave(trainer, checkpointing)
    return start or 0


def _leave(trainer: "AnswerTrainer", checkpointing: "Checkpointing") -> None:
    """Keep what was trained, unless it is kept already, and end the process."""
    step = trainer.state.global_step
    if step > checkpointing.kept_step:
        trainer._save_checkpoint(trainer.model, trial=None)  # type: ignore[no-untyped-call]
        checkpointing.publish(step)
    left = f"the checkpoint of step {step} is kept" if step else "no step was made yet"
    report(f"train: told to stop (SIGTERM); {left}, and the same command continues from there")
    raise SystemExit(EXIT_CODE)


class Checkpointing(TrainerCallback):
    """Has the trainer save a checkpoint as `storm_core.pacing` says, and when told to stop; hands it to `checkpoints`.

    Transformers' own just-in-time checkpoint waits three seconds, may lie in the middle of an update, and does not end
    the process with the code that tells of the signal; hence this one.
    """

    def __init__(self, checkpoints: TrainingCheckpoints, stop: StopRequest, minutes: float, scratch: Path) -> None:
        self.kept_step = 0
        self._checkpoints = checkpoints
        self._stop = stop
        self._pace = Pace(
            first_seconds=_FIRST_SECONDS, shortest_seconds=_SHORTEST_SECONDS, longest_seconds=60 * minutes
        )
        self._began = self._pace.now()
        self._scratch = scratch

    def publish(self, step: int) -> None:
        """Hand the checkpoint that the trainer saved after `step` to the store."""
        self._checkpoints.keep(self._scratch / f"checkpoint-{step}", step)
        self.kept_step = step
        self._pace.wrote(since=self._began)

    def on_train_begin(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Begin to count the time; what training continues from is kept already."""
        self.kept_step = state.global_step
        self._pace.restart()

    def on_step_begin(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Leave where nothing is left to train: the trainer would add a step to a resumed fraction of an epoch."""
        if state.global_step >= state.max_steps:
            raise LeaveTrainingError
        # By now the trainer has read all of the checkpoint it continues from.
        shutil.rmtree(self._scratch / "earlier", ignore_errors=True)

    def on_step_end(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        """Ask for a checkpoint when one is due. When told to stop, the validation pass is left to the next attempt."""
        if self._stop.requested:
            control.should_evaluate = False
            control.should_training_stop = True
        control.should_save = self._stop.requested or self._pace.is_due()
        self._began = self._pace.now()
        return control

    def on_evaluate(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Leave a validation pass out of what a checkpoint takes: the trainer makes it between asking and saving."""
        self._began = self._pace.now()

    def on_prediction_step(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Leave a validation pass when told to stop; it is taken again, from its start, by the next attempt."""
        if self._stop.requested:
            raise LeaveTrainingError

    def on_save(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Publish what the trainer has just saved."""
        self.publish(state.global_step)
