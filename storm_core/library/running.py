"""Run a stage from Python as `storm` runs it: inputs verified, outputs written in one step, results used again."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Generic

from storm_core.config import StageConfig
from storm_core.errors import InputError
from storm_core.execution import execute
from storm_core.library.model import Model
from storm_core.library.options import Options
from storm_core.manifest import MANIFEST_NAME, Manifest, read_manifest
from storm_core.own_servers import spare_own_servers
from storm_core.stage import Stage
from storm_core.telemetry import disable_telemetry

# What names an artifact: a directory, a manifest file, a URI, or a `Model`, which is such a path.
Reference = str | os.PathLike[str]


class Runner(Generic[Options]):
    """Runs one stage; its methods in subclasses take the stage's options, by whatever name the config has them."""

    def __init__(self, stage: Stage, config: Callable[Options, StageConfig]) -> None:
        """`config` is `stage.config`, named once more for type checkers."""
        self._stage = stage
        self._config = config

    def _run(
        self,
        inputs: Mapping[str, Reference | None],
        output: Path,
        *positional: Options.args,
        **options: Options.kwargs,
    ) -> Manifest:
        """Run the stage and leave its one output in the directory `output`; returns the output's manifest.

        Raises:
            InputError: an option, an input or the output cannot be used.
            StoreError: the store cannot be used.
        """
        disable_telemetry()
        spare_own_servers()
        (written,) = self._stage.outputs
        config = self._config(*positional, **options)
        given = {name: [reference_to(value)] for name, value in inputs.items() if value is not None}
        execute(self._stage, config, given, {written: output}, {})
        return read_manifest(output / MANIFEST_NAME)


def reference_to(given: Reference) -> str:
    """The text that names an artifact to a stage."""
    return str(given.directory) if isinstance(given, Model) else os.fspath(given)


def output_directory(output: Reference) -> Path:
    """The directory that `output` names.

    Raises:
        InputError: it is a URI.
    """
    text = os.fspath(output)
    if "://" in text:
        raise InputError(f"output {text} is a URI; give a directory, and set STORM_STORE to keep its content elsewhere")
    return Path(text)


@contextlib.contextmanager
def kept_or_temporary(output: Reference | None) -> Iterator[Path]:
    """The directory `output`, or one that is removed afterwards where none is given."""
    if output is not None:
        yield output_directory(output)
    else:
        with tempfile.TemporaryDirectory(prefix="storm-") as directory:
            yield Path(directory) / "output"
