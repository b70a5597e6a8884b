"""What an estimate takes for granted, and the run that it is about."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.profiles.fields import Profile, TaskProfile
from pipelines.profiles.training_nodes import TrainingNodes
from storm_core.checkpoints.shapes import ModelShapes
from storm_core.cluster.nodes import VERBS
from storm_core.errors import InputError
from storm_core.finetuning.model_flops import peak_flops_per_second

# The best published at 8192 tokens in bfloat16 on an H100; none of ours was measured.
DEFAULT_MFU = 0.37


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """Numbers that a recipe does not tell: None where nothing is assumed, and what needs it is then not known.

    Attributes:
        rows: examples that are prepared and judged.
        train_examples: those that are trained on.
        tokens_per_example: on average.
        mfu: share of a device's peak that model FLOPs reach.
    """

    rows: int | None = None
    train_examples: int | None = None
    tokens_per_example: int | None = None
    mfu: float = DEFAULT_MFU

    def check(self) -> None:
        """Refuse what no run has.

        Raises:
            InputError: names the flag, what it may be, and what it was.
        """
        for name in ("rows", "train_examples", "tokens_per_example"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
        if not 0 < self.mfu <= 1:
            raise InputError(f"--mfu must be above 0 and at most 1, got {self.mfu}")


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """A run as far as an estimate looks at it.

    Attributes:
        values: every argument of the run.
        parameters: elements by name.
        trained: names of those that are trained.
    """

    values: Mapping[str, Any]
    profile: Profile
    shapes: ModelShapes
    parameters: Mapping[str, int]
    trained: set[str]
    assumptions: Assumptions

    @property
    def count(self) -> int:
        """All parameters."""
        return sum(self.parameters.values())

    @property
    def trained_count(self) -> int:
        """Those that are trained."""
        return sum(self.parameters[name] for name in self.trained)

    @property
    def largest(self) -> int:
        """Elements of the largest tensor."""
        return max(self.parameters.values())

    def pod(self, verb: str) -> TaskProfile | TrainingNodes:
        """What the profile gives to a pod that computes the verb: its task, or a node that the task leaves it to."""
        nodes = self.profile.training_nodes if verb in VERBS else None
        return nodes or self.profile.task(verb)

    def has_gpu(self, verb: str) -> bool:
        """Whether the profile gives the verb's pods a device."""
        return self.pod(verb).accelerator is not None

    @property
    def training_pods(self) -> int:
        """Pods that train together."""
        return self.profile.training_nodes.count if self.profile.training_nodes else 1

    @property
    def processes_of_pod(self) -> int:
        """Processes of `train` in each of its pods, one a device."""
        accelerator = self.pod("train").accelerator
        return accelerator.count if accelerator else 1

    @property
    def processes(self) -> int:
        """Processes that train together."""
        return self.training_pods * self.processes_of_pod

    def peak(self, verb: str) -> float | None:
        """FLOP/s at most of the slowest GPU that the profile lets the verb's tasks run on; None where not known."""
        peaks = [peak_flops_per_second(product) for product in self.pod(verb).gpu_products]
        known = [peak for peak in peaks if peak is not None]
        return min(known) if known and len(known) == len(peaks) else None
