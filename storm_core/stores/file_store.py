"""A store in a local directory: `STORM_STORE=file:///path`.

An artifact is published to `<store>/<kind>/<digest>/`, an immutable directory with the real file names. Beside the
kinds lie `.results/`, which remembers what each stage run produced, so that the same run again need not run; `.parts/`,
what unfinished runs have finished; and `.staging/`, where outputs are written.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from storm_core.artifacts import (
    MANIFEST_NAME,
    Manifest,
    check_relative_path,
    is_whole,
    read_manifest,
    verify,
    write_manifest,
)
from storm_core.errors import InputError
from storm_core.progress import report
from storm_core.stores.inventory import Leftover, Place, modified_at, walk_directory
from storm_core.stores.partial_results import DirectoryPartialResults, PartialResults
from storm_core.stores.staging import StagingArea
from storm_core.stores.uris import file_uri_to_path


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
        """Move the sealed `directory` to its place and return the URI.

        The same content already there is kept, unless it was damaged; then it is replaced.
        """
        target = self.root / manifest.kind / manifest.digest
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
        return target.resolve().as_uri()

    def publish_copy(self, directory: Path, manifest: Manifest) -> str:
        """Publish the listed files of `directory`, which stays as it is, and return the URI."""
        staged = self.staging_directory()
        staged.chmod(0o755)
        _copy_files(directory, manifest, staged)
        write_manifest(staged, manifest)
        verify(staged, manifest)
        return self.publish(staged, manifest)

    def pull(self, uri: str, directory: Path) -> Manifest:
        """Copy the artifact at `uri`, verified, into the empty `directory`, without manifest; returns that."""
        manifest = self.manifest(uri)
        _copy_files(file_uri_to_path(uri), manifest, directory)
        verify(directory, manifest)
        return manifest

    def manifest(self, uri: str) -> Manifest:
        """The manifest of the artifact at `uri`; its files are not looked at.

        Raises:
            InputError: there is none.
        """
        path = file_uri_to_path(uri) / MANIFEST_NAME
        if not path.is_file():
            raise InputError(f"there is no artifact at {uri}: no {MANIFEST_NAME}")
        return replace(read_manifest(path), uri=uri)

    def damaged(self, uri: str) -> list[str]:
        """Names of the listed files that are missing or altered, after reading all of them."""
        directory = file_uri_to_path(uri)
        manifest = self.manifest(uri)
        return [entry.path for entry in manifest.files if not is_whole(directory, entry)]

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

    def partial_results(self, key: str) -> PartialResults:
        """The partial results of unfinished work under `key`."""
        return DirectoryPartialResults(self.root / ".parts" / key)

    def places(self) -> Iterator[Place]:
        """Every artifact's place, sorted."""
        return walk_directory(self.root)

    def leftovers(self) -> Iterator[Leftover]:
        """Partial results of unfinished runs. Staging directories of dead processes are swept when the next is made."""
        for path in sorted((self.root / ".parts").glob("*")):
            newest = max(modified_at(inner) for inner in (path, *path.rglob("*")))
            yield Leftover(what=f"parts {path}", modified=newest, remove=DirectoryPartialResults(path).clear)

    def file_names(self, uri: str) -> list[str]:
        """Names of all files in the place of the artifact at `uri`, listed in its manifest or not; sorted."""
        directory = file_uri_to_path(uri)
        return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())

    def remove(self, uri: str, names: Sequence[str]) -> None:
        """Remove these files of the artifact at `uri`, its manifest first, so that no reader sees a part of it."""
        directory = file_uri_to_path(uri)
        (directory / MANIFEST_NAME).unlink(missing_ok=True)
        for name in names:
            check_relative_path(name, uri)
            (directory / name).unlink(missing_ok=True)
        if not any(path.is_file() for path in directory.rglob("*")):
            shutil.rmtree(directory, ignore_errors=True)


def _copy_files(source: Path, manifest: Manifest, target: Path) -> None:
    for entry in manifest.files:
        place = target / entry.path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / entry.path, place)
