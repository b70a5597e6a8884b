"""The command line of a stage on a node: what `storm <verb>` was given, with inputs by where they lie in the store."""

import dataclasses
import json
from typing import Any

from storm_core.config import StageConfig
from storm_core.stage import Inputs, Stage
from storm_core.stages import RERUN, flag

# With a store an output's own directory holds a manifest alone, which nobody reads here.
_OUTPUTS = "/tmp/storm-outputs"  # noqa: S108


def stage_command(stage: Stage, config: StageConfig, inputs: Inputs, *, afresh: bool) -> list[str]:
    """The verb and its flags."""
    command = [stage.verb]
    for name, references in inputs.references().items():
        for reference in references:
            command += [flag(name), reference]
    for output in stage.outputs:
        command += [flag(output), f"{_OUTPUTS}/{output}"]
    for name, value in dataclasses.asdict(config).items():
        command += [flag(name), _text(value)]
    return [*command, *([flag(RERUN), json.dumps([stage.verb])] if afresh else [])]


def _text(value: Any) -> str:
    """An option as the command line takes it."""
    return json.dumps(value) if isinstance(value, bool | tuple) else str(value)
