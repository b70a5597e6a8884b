"""What a TrainJob is asked to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """One run of a stage, for nodes to do.

    Attributes:
        key: of the run.
        command: the verb of the stage and its flags.
        environment: variables for the nodes besides those that the component has.
        afresh: whether a job that was complete before does not count.
    """

    key: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    afresh: bool = False
