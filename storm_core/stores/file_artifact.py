"""An artifact in a local directory, as a file store holds it."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from storm_core.artifacts import Artifact, is_whole, open_directory, verify
from storm_core.errors import InputError
from storm_core.manifest import MANIFEST_NAME, Manifest, check_relative_path, read_manifest
from storm_core.stores.locations import FileLocation


class FileArtifact:
    """The artifact at `location`, be it there or not."""

    def __init__(self, location: FileLocation) -> None:
        self.location = location
        self._path = location.path

    def manifest(self) -> Manifest:
        """Its manifest, with its URI; its files are not looked at.

        Raises:
            InputError: there is none.
        """
        path = self._path / MANIFEST_NAME
        if not path.is_file():
            raise InputError(f"there is no artifact at {self.location.uri}: no {MANIFEST_NAME}")
        return replace(read_manifest(path), uri=self.location.uri)

    def check(self) -> Manifest:
        """Its manifest, after all its files were verified; see `open`."""
        return self.open().manifest

    def open(self) -> Artifact:
        """The artifact where it lies, verified; a directory without manifest or a single file too, of kind `""`.

        Raises:
            InputError: nothing is there, or a listed file is missing or altered.
        """
        artifact = open_directory(self._path)
        return replace(artifact, manifest=replace(artifact.manifest, uri=self.location.uri))

    def pull(self, manifest: Manifest, directory: Path) -> None:
        """Copy the files that `manifest` lists into `directory`, once they are verified.

        Raises:
            InputError: a file is missing or altered.
        """
        verify(self._path, manifest)
        copy_files(self._path, manifest, directory)

    def damaged(self) -> list[str]:
        """Names of the listed files that are missing or altered, after reading all of them."""
        return [entry.path for entry in self.manifest().files if not is_whole(self._path, entry)]

    def remove_files(self, names: Sequence[str]) -> None:
        """Remove the manifest and then these files, so that no reader sees a part of the artifact."""
        (self._path / MANIFEST_NAME).unlink(missing_ok=True)
        for name in names:
            check_relative_path(name, self.location.uri)
            (self._path / name).unlink(missing_ok=True)
        if not self._file_names():
            shutil.rmtree(self._path, ignore_errors=True)

    def remove(self) -> None:
        """Remove the manifest and then every file, listed or not."""
        self.remove_files(self._file_names())

    def _file_names(self) -> list[str]:
        return [path.relative_to(self._path).as_posix() for path in self._path.rglob("*") if path.is_file()]


def copy_files(source: Path, manifest: Manifest, target: Path) -> None:
    """Copy the listed files from one directory into another."""
    for entry in manifest.files:
        place = target / entry.path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / entry.path, place)
