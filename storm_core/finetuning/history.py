"""The course of training: losses for `history.json`, progress for a person, validation passes at the right steps."""

import time
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from storm_core.heartbeat import Activity
from storm_core.progress import report, shows_bars
from storm_core.tracking import current_run

if TYPE_CHECKING:
    from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 15.0


def evaluation_steps(total_steps: int, evaluations: int) -> set[int]:
    """The steps after which the validation loss is taken: evenly spread, the last step always among them."""
    return {round(total_steps * part / evaluations) for part in range(1, evaluations + 1)} - {0}


def validation_is_due(state: TrainerState, evaluations: int) -> bool:
    """Whether the validation loss belongs to the step that `state` stands at and was not taken yet."""
    due = state.global_step in evaluation_steps(state.max_steps, evaluations) | {0}
    return due and all(entry["step"] != state.global_step for entry in read_history(state)["validation"])


def read_history(state: TrainerState) -> dict[str, list[dict[str, float]]]:
    """The content of `history.json`: training and validation losses by step, those of earlier attempts included.

    The trainer keeps every point in its state, and the state in its checkpoints.
    """
    logged = state.log_history
    return {
        "train": [
            {"step": entry["step"], "loss": entry["loss"], "learning_rate": entry["learning_rate"]}
            for entry in logged
            if "loss" in entry
        ],
        "validation": [{"step": entry["step"], "loss": entry["eval_loss"]} for entry in logged if "eval_loss" in entry],
    }


class Validation(TrainerCallback):
    """Asks for a validation pass where `evaluation_steps` says."""

    def __init__(self, evaluations: int) -> None:
        self._evaluations = evaluations

    def on_step_end(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        """Ask for a validation pass after this step where one is due."""
        control.should_evaluate = state.global_step in evaluation_steps(state.max_steps, self._evaluations)
        return control


class Curves(TrainerCallback):
    """Puts each loss that the trainer logs on MLflow's curves."""

    def on_log(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Log the training loss or the validation loss."""
        logs = kwargs["logs"]
        points = {"loss": logs.get("loss"), "validation_loss": logs.get("eval_loss")}
        curve = {name: loss for name, loss in points.items() if loss is not None}
        current_run().log_metrics(curve, step=state.global_step)


class Progress(TrainerCallback):
    """A bar on a terminal, a line now and then elsewhere, with the latest training loss."""

    def __init__(self, current: Activity) -> None:
        """`current` is told how far the training is."""
        self._current = current
        self._bar: tqdm[Any] | None = None
        self._last = time.monotonic()
        self._loss = ""
        self._batches = 0

    def on_train_begin(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Open the bar, where there is a terminal to draw it on."""
        if shows_bars():
            from tqdm import tqdm

            self._bar = tqdm(total=state.max_steps, initial=state.global_step, desc="train", unit="step", leave=False)

    def on_log(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Remember the loss to show."""
        if "loss" in kwargs["logs"]:
            self._loss = f"loss {kwargs['logs']['loss']:.3f}"

    def on_step_end(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the bar on, or write a line when it is time for one."""
        self._batches = 0
        self._current.state = f"{state.global_step} of {state.max_steps} steps  {self._loss}".rstrip()
        if self._bar is not None:
            self._bar.set_postfix_str(self._loss, refresh=False)
            self._bar.update()
        elif time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            report(f"train: {self._current.state}")
            self._last = time.monotonic()

    def on_prediction_step(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Count the batches of a validation pass."""
        self._batches += 1
        self._current.state = f"{state.global_step} of {state.max_steps} steps, validation batch {self._batches}"

    def on_train_end(self, args: object, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
