"""What is tracked: a stage at work, as one task of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Work:
    """One stage at work.

    Attributes:
        verb: of the stage.
        task: the pipeline's name for it; the verb where there is no pipeline.
        key: of its run, by which another attempt of the same task is known; empty where nothing else is one.
        inputs: digests by input name.
        given: the references as they were given, by input name.
    """

    verb: str
    task: str
    key: str = ""
    inputs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    given: Mapping[str, Sequence[str]] = field(default_factory=dict)
