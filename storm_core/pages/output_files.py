"""Single files of a stage's outputs, wherever these lie: a page needs kilobytes of what may have gigabytes."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from storm_core.errors import InputError
from storm_core.manifest import FileEntry, Manifest
from storm_core.pages.finished import Finished
from storm_core.stores.references import stored_artifact

# More is not fetched to draw a figure of it.
MAX_BYTES = 64 << 20


class OutputFiles:
    """The outputs of a finished stage, of which files are fetched when they are asked for."""

    def __init__(self, finished: Finished) -> None:
        self.finished = finished
        self._scratch = tempfile.TemporaryDirectory(prefix="storm-page-")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scratch.cleanup()

    def file(self, output: str, name: str) -> Path:
        """A path at which the file `name` of the output lies, verified where it comes from a store.

        Raises:
            InputError: the output has no such file, it was altered, or it is too large to be fetched for a page.
            StoreError: the store cannot be used.
        """
        manifest, reference = self.finished.outputs[output], self.finished.references[output]
        entry = _entry(manifest, name)
        stored = stored_artifact(reference)
        if stored is None:
            return Path(reference) / name
        if entry.size > MAX_BYTES:
            raise InputError(f"{name} has {entry.size / 1e6:.0f} MB, too much to fetch for a page; see {reference}")
        directory = Path(self._scratch.name) / output
        directory.mkdir(exist_ok=True)
        if not (directory / name).is_file():
            stored.pull(replace(manifest, files=(entry,)), directory)
        return directory / name

    def json(self, output: str, name: str) -> dict[str, Any]:
        """The JSON object in the file `name` of the output.

        Raises:
            InputError: see `file`.
            StoreError: see `file`.
        """
        content: dict[str, Any] = json.loads(self.file(output, name).read_text(encoding="utf-8"))
        return content


def _entry(manifest: Manifest, name: str) -> FileEntry:
    for entry in manifest.files:
        if entry.path == name:
            return entry
    raise InputError(f"no {name} in the {manifest.kind} artifact {manifest.digest[:12]}")
