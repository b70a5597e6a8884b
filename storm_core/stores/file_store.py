"""A store in a local directory: `STORM_STORE=file:///path`.

An artifact is published to `<store>/<kind>/<digest>/`, an immutable directory with the real file names. Beside the
kinds lie `.results/`, which remembers what each stage run produced, so that the same run again need not run; `.parts/`,
what unfinished runs have finished; and `.staging/`, where outputs are written.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from storm_core.artifacts import MANIFEST_NAME, Manifest
from storm_core.stores.inventory import Place, walk_directory
from storm_core.stores.parts import DirectoryParts, Parts
from storm_core.stores.staging import StagingArea


class FileStore:
    """A store in a local directory. Publishing is one rename, so a reader sees a whole artifact or none."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._staging = StagingArea(root / ".staging")

    @property
    def uri(self) -> str:
        """The store's own URI."""
        return self.root.resolve().as_uri()

    def staging_directory(self) -> Path:
        """A new empty directory on the store's own file system, for an output that will be published."""
        return self._staging.new_directory()

    def publish(self, directory: Path, manifest: Manifest) -> str:
        """Move the sealed `directory` to its place and return the URI; content already there is kept as it is."""
        target = self.root / manifest.kind / manifest.digest
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            directory.rename(target)
        except OSError:
            # Renaming onto a directory that is not empty fails: the same content is there already.
            if not (target / MANIFEST_NAME).is_file():
                raise
            shutil.rmtree(directory)
        return target.resolve().as_uri()

    def recall(self, key: str) -> dict[str, Any] | None:
        """What `remember` kept under `key`, or None."""
        path = self.root / ".results" / f"{key}.json"
        if not path.is_file():
            return None
        entry: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return entry

    def remember(self, key: str, entry: Mapping[str, Any]) -> None:
        """Keep the JSON object `entry` under `key`, replacing what was there in one step."""
        path = self.root / ".results" / f"{key}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_text(json.dumps(entry, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        partial.replace(path)

    def parts(self, key: str) -> Parts:
        """The parts of unfinished work under `key`."""
        return DirectoryParts(self.root / ".parts" / key)

    def places(self) -> Iterator[Place]:
        """Every artifact's place, sorted."""
        return walk_directory(self.root)
