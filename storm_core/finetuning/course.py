"""How far a training is and how it went: what a checkpoint holds besides tensors, and what the output tells of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from storm_core import processes
from storm_core.finetuning.data_order import Batch
from storm_core.finetuning.exchange import gather
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
        examples: the numbers of the examples of each update, in every process's own order; whole in a checkpoint, and
            of the updates since it in this process alone.
        best: the updates made before the validation pass with the lowest loss.
    """

    done: int = 0
    train: list[dict[str, float]] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)
    held_out: list[dict[str, float]] = field(default_factory=list)
    shared_by: list[dict[str, int]] = field(default_factory=list)
    examples: list[list[int]] = field(default_factory=list)
    best: int | None = None

    def note_update(self, update: Update, own: Sequence[Batch]) -> None:
        """Take note of an update, of which this process computed the batches `own`."""
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
        self.examples.append([number for batch in own for number in batch])

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

    def collect(self) -> None:
        """Make `examples` whole in the main process, and empty elsewhere. Every process must ask for it."""
        by_process = gather(self.examples)
        self.examples = []
        if processes.is_main():
            self.examples = _merge(by_process)

    def as_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Course":
        """The course that a checkpoint holds."""
        course = cls(**content)
        if not processes.is_main():
            course.examples = []
        return course


def _merge(by_process: Sequence[Sequence[list[int]]]) -> list[list[int]]:
    """The examples of each update, all processes' together; only the main one knows those before its checkpoint."""
    main, *others = by_process
    merged = [list(examples) for examples in main]
    for other in others:
        for back, examples in enumerate(reversed(other), start=1):
            merged[-back] += examples
    return [sorted(examples) for examples in merged]
