"""A store in a local directory: `STORM_STORE=file:///path`.

It is laid out as `layout.py` says, each artifact an immutable directory; outputs are written in `.staging/`.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from storm_core.artifacts import is_whole, verify
from storm_core.json_objects import read_object
from storm_core.machine_errors import NamesFullDisk, check_room
from storm_core.manifest import MANIFEST_NAME, Manifest, write_manifest
from storm_core.progress import report
from storm_core.stores.file_artifact import FileArtifact, copy_files
from storm_core.stores.file_ledger import FileLedger
from storm_core.stores.inventory import Leftover, Place, group_files, list_files, newest_change
from storm_core.stores.layout import artifact_location, partial_results_location, result_location, results_location
from storm_core.stores.locations import FileLocation
from storm_core.stores.partial_results import DirectoryPartialResults, PartialResults
from storm_core.stores.staging import StagingArea


class FileStore:
    """A store in a local directory. Publishing is one rename, so a reader sees a whole artifact or none."""

    def __init__(self, location: FileLocation) -> None:
        self.location = FileLocation(path=location.path.resolve())
        self.ledger = FileLedger(self.location)
        self._staging = StagingArea(self.location.path / ".staging")

    def artifact(self, kind: str, digest: str) -> FileArtifact:
        """The artifact of this kind and digest, be it there or not."""
        return FileArtifact(artifact_location(self.location, kind, digest))

    def staging_directory(self) -> Path:
        """A new empty directory on the store's own file system, for an output that will be published."""
        return self._staging.new_directory()

    def publish(self, directory: Path, manifest: Manifest) -> FileLocation:
        """Move the sealed `directory` to its place; returns the place.

        The same content already there is kept, unless it was damaged; then it is replaced.
        """
        location = artifact_location(self.location, manifest.kind, manifest.digest)
        target = location.path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            directory.rename(target)
        except OSError:
            # Renaming onto a directory that is not empty fails: the same content is there already.
            if not (target / MANIFEST_NAME).is_file():
                raise
            if all(is_whole(target, entry) for entry in manifest.files):
                shutil.rmtree(directory)
            else:
                report(f"{target} was damaged and is replaced")
                target.rename(self.staging_directory() / "damaged")
                directory.rename(target)
        return location

    def publish_copy(self, directory: Path, manifest: Manifest) -> FileLocation:
        """Publish the listed files of `directory`, which stays as it is; returns their place."""
        staged = self.staging_directory()
        staged.chmod(0o755)
        try:
            with NamesFullDisk({staged: self.location.path}):
                check_room(staged, manifest.size, "the artifact")
                copy_files(directory, manifest, staged)
                write_manifest(staged, manifest)
            verify(staged, manifest)
            return self.publish(staged, manifest)
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def recall(self, key: str) -> dict[str, Any] | None:
        """What `remember` kept under `key`, or None."""
        path = result_location(self.location, key).path
        if not path.is_file():
            return None
        return read_object(path)

    def remember(self, key: str, entry: Mapping[str, Any]) -> None:
        """Keep the JSON object `entry` under `key`, replacing what was there in one step."""
        path = result_location(self.location, key).path
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_text(json.dumps(entry, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        partial.replace(path)

    def results(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Everything that `remember` kept, with its key; an empty entry where it cannot be read."""
        for path in sorted(results_location(self.location).path.glob("[!.]*.json")):
            try:
                yield path.stem, self.recall(path.stem) or {}
            except (ValueError, RecursionError):
                yield path.stem, {}

    def forget(self, key: str) -> None:
        """Remove what `remember` kept under `key`, if it is there."""
        result_location(self.location, key).path.unlink(missing_ok=True)

    def partial_results(self, key: str) -> PartialResults:
        """The partial results of unfinished work under `key`."""
        return DirectoryPartialResults(partial_results_location(self.location).path / key)

    def places(self) -> Iterator[Place]:
        """Every artifact's place, sorted."""
        return group_files(self.location, list_files(self.location.path))

    def leftovers(self) -> Iterator[Leftover]:
        """Partial results of unfinished runs. Staging directories of dead processes are swept when the next is made."""
        for path in sorted(partial_results_location(self.location).path.glob("*")):
            with contextlib.suppress(FileNotFoundError):
                newest = newest_change(path)
                remove = DirectoryPartialResults(path).clear
                yield Leftover(what=f"partial results {path}", modified=newest, remove=remove, run_key=path.name)
