"""A stage that is over, as its page tells of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storm_core.manifest import Manifest
from storm_core.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What is known of a stage that is over, be its result new or an earlier run's.

    Attributes:
        name: what the run is called: the pipeline's name for the task, or the command.
        outputs: the manifest of each output, by name.
        references: what names each output: its URI, or its directory.
        reused: whether the outputs are an earlier run's.
        in_frame: whether the page is shown inside of another, as the KFP UI does.
    """

    name: str
    stage: Stage
    outputs: Mapping[str, Manifest]
    references: Mapping[str, str]
    metrics: Mapping[str, float]
    reused: bool
    seconds: float
    in_frame: bool = False

    @property
    def manifest(self) -> Manifest:
        """The manifest of an output; what it says of the stage, all of them say."""
        return next(iter(self.outputs.values()))

    @property
    def config(self) -> Mapping[str, Any]:
        """The options that the stage ran with."""
        config: Mapping[str, Any] = self.manifest.producer.get("config", {})
        return config
