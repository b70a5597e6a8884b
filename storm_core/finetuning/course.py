"""How far a training is and how it went: what a checkpoint holds besides tensors, and what the output tells of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from storm_core import processes
from storm_core.finetuning.learner import Update


@dataclass
class Course:
    """The course of a training so far, those of earlier attempts included.

    Attributes:
        done: updates made.
        train: loss, learning rate and norm of the gradient of each update.
        validation: the loss of each validation pass, by the updates made before it.
        held_out: the loss on text that is not trained on, by the updates made before; of the weights kept, at the end.
        shared_by: how many processes made the updates, from each update on where the number changes.
        best: the updates made before the validation pass with the lowest loss.
    """

    done: int = 0
    train: list[dict[str, float]] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)
    held_out: list[dict[str, float]] = field(default_factory=list)
    shared_by: list[dict[str, int]] = field(default_factory=list)
    best: int | None = None

    def note_update(self, update: Update) -> None:
        """Take note of an update."""
        self.done += 1
        self.train.append(
            {
                "step": self.done,
                "loss": update.loss,
                "learning_rate": update.learning_rate,
                "gradient_norm": update.gradient_norm,
            }
        )
        if not self.shared_by or self.shared_by[-1]["processes"] != processes.world_size():
            self.shared_by.append({"from_step": self.done, "processes": processes.world_size()})

    def note_validation(self, losses: Sequence[float]) -> bool:
        """Take note of a validation pass, of the mean loss over its examples; returns whether it is the best so far."""
        loss = float(np.mean(np.array(losses, dtype=np.float32)))
        # Weights that no update has moved are those of the model given.
        is_best = self.done > 0 and all(loss < earlier["loss"] for earlier in self.validation if earlier["step"] > 0)
        self.validation.append({"step": self.done, "loss": loss})
        if is_best:
            self.best = self.done
        return is_best

    def kept_step(self, weights_kept: str) -> int:
        """The updates behind the weights that become the model."""
        return self.best or self.done if weights_kept == "best" else self.done

    def passes_without_gain(self) -> int:
        """Validation passes since the best one."""
        return sum(entry["step"] > (self.best or 0) for entry in self.validation)

    def as_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Course":
        """The course that a checkpoint holds."""
        return cls(**content)
