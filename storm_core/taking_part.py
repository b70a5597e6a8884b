"""The other processes of a stage that several run together: they compute with the main one, which writes."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from storm_core.config import StageConfig
from storm_core.destinations import staging
from storm_core.errors import InputError
from storm_core.execution import open_inputs, run_key, workspace_of
from storm_core.places import followed
from storm_core.process_group import together
from storm_core.processes import spans_machines
from storm_core.stage import Stage
from storm_core.stores.references import store_from_environment


def take_part(stage: Stage, config: StageConfig, inputs: Mapping[str, list[str]], outputs: Mapping[str, Path]) -> None:
    """Take part in what the main process executes; what this one writes is thrown away.

    Raises:
        InputError: an input cannot be opened or is of the wrong kind; or there are several machines and no store.
    """
    store = store_from_environment()
    if spans_machines() and store is None:
        raise InputError("processes on several machines share their checkpoints through a store; set STORM_STORE")
    opened = open_inputs(stage, inputs)
    with together(stage) as tell, contextlib.ExitStack() as stack:
        is_new = tell(None)
        if is_new:
            places = {name: followed(path) for name, path in outputs.items()}
            staged = {name: stack.enter_context(staging(path, store)) for name, path in places.items()}
            workspace = workspace_of(run_key(stage, config, opened), stage, places, store)
            stage.load()(config, opened, staged, *([workspace] if stage.resumable else []))
        tell(None)  # The main process has published; one that left sooner would be missed.
