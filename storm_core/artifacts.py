"""An artifact: a directory and the `manifest.json` that lists its files.

The manifest is written last, so a directory without one is unfinished. A reader opens only the listed files and checks
size and SHA-256 of each; anything else lying beside them is ignored.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from storm_core.errors import InputError
from storm_core.heartbeat import activity
from storm_core.manifest import (
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    check_listed,
    content_digest,
    read_manifest,
    write_manifest,
)

# Lies in a directory that cannot be renamed, such as a volume's, while an output is written there; without a manifest
# beside it, that is unfinished.
UNFINISHED_NAME = ".unfinished"
_BLOCK_BYTES = 1 << 20
_FILES_HASHED_AT_A_TIME = 4


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """An opened artifact: its directory, whose listed files were verified, and its manifest.

    Attributes:
        lock: what keeps the directory in place for as long as the artifact is held, where that takes anything.
    """

    path: Path
    manifest: Manifest
    lock: object = field(default=None, compare=False, repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the content, in hex."""
        return self.manifest.digest

    @property
    def reference(self) -> str:
        """What names this artifact to another stage: its store URI, or its directory."""
        return self.manifest.uri or str(self.path)

    def file(self, name: str) -> Path:
        """Path of the listed file `name`.

        Raises:
            InputError: the artifact has no such file.
        """
        if all(entry.path != name for entry in self.manifest.files):
            raise InputError(f"no {name} in the {self.manifest.kind} artifact {self.path}")
        return self.path / name


def seal(
    directory: Path,
    kind: str,
    *,
    producer: Mapping[str, Any],
    inputs: Mapping[str, list[str]],
    metrics: Mapping[str, float],
    references: Mapping[str, list[str]] | None = None,
) -> Manifest:
    """Write `manifest.json` over everything in `directory`, which is then a finished artifact.

    Raises:
        ValueError: the directory is empty.
        InputError: it holds a symbolic link, or a file whose name no store takes.
    """
    with activity("hash the output"):
        files = list_files(directory)
    if not files:
        raise ValueError(f"nothing was written to {directory}; an artifact needs at least one file")
    check_listed(files, directory)
    manifest = Manifest(
        kind=kind,
        files=files,
        digest=content_digest(kind, files),
        producer=producer,
        inputs=inputs,
        references=references or {},
        metrics=metrics,
    )
    write_manifest(directory, manifest)
    return manifest


def open_directory(directory: Path) -> Artifact:
    """Open the artifact in `directory`, verified.

    A directory without manifest, or a single file, is hashed as it is and gets the kind `""`, which fits any input.

    Raises:
        InputError: the directory does not exist or is empty, or a listed file is missing or altered.
    """
    if directory.is_file():
        entry = FileEntry(path=directory.name, size=directory.stat().st_size, sha256=hash_file(directory))
        return _foreign(directory.parent, (entry,))
    if not directory.is_dir():
        raise InputError(f"{directory} does not exist; give a directory, a manifest file or a store URI")
    if not (directory / MANIFEST_NAME).is_file():
        if (directory / UNFINISHED_NAME).is_file():
            raise InputError(f"{directory} is unfinished; run the stage that writes it again")
        files = list_files(directory, follow_links=True)
        if not files:
            raise InputError(f"{directory} is empty; was the stage that writes it interrupted?")
        return _foreign(directory, files)
    manifest = read_manifest(directory / MANIFEST_NAME)
    verify(directory, manifest)
    return Artifact(path=directory, manifest=replace(manifest, uri=None))


def _foreign(directory: Path, files: tuple[FileEntry, ...]) -> Artifact:
    return Artifact(path=directory, manifest=Manifest(kind="", files=files, digest=content_digest("", files)))


def verify(directory: Path, manifest: Manifest) -> None:
    """Check size and SHA-256 of every listed file.

    Raises:
        InputError: names the first file that is missing or altered.
    """
    for entry in manifest.files:
        path = directory / entry.path
        if not path.is_file() or _is_linked(directory, entry.path):
            raise InputError(f"{path} is missing but {MANIFEST_NAME} lists it; fetch or produce the artifact again")
        if path.stat().st_size != entry.size:
            raise InputError(f"{path} has {path.stat().st_size} bytes, its manifest says {entry.size}; it was altered")
    paths = [directory / entry.path for entry in manifest.files]
    for path, entry, sha256 in zip(paths, manifest.files, hash_files(paths), strict=True):
        if sha256 != entry.sha256:
            raise InputError(f"{path} does not have the SHA-256 that its manifest lists; it was altered")


def is_whole(directory: Path, entry: FileEntry) -> bool:
    """Whether the listed file is there as it was written."""
    path = directory / entry.path
    there = path.is_file() and not _is_linked(directory, entry.path) and path.stat().st_size == entry.size
    return there and hash_file(path) == entry.sha256


def _is_linked(directory: Path, name: str) -> bool:
    """Whether a symbolic link, which could lead outside, lies on the way to the file."""
    path = PurePosixPath(name)
    return any((directory / part).is_symlink() for part in (path, *path.parents[:-1]))


def list_files(directory: Path, *, follow_links: bool = False) -> tuple[FileEntry, ...]:
    """Every plain file below `directory` but the manifest, hashed, sorted by path; hidden files are left out.

    Links to files are followed only on request: a foreign model directory may be a hub cache, which is made of them.

    Raises:
        InputError: a symbolic link, which could lead outside, where links are not followed.
    """
    paths = []
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        if any(part.startswith(".") for part in relative.parts) or relative.as_posix() == MANIFEST_NAME:
            continue
        if path.is_symlink() and not follow_links:
            raise InputError(f"{path} is a symbolic link; artifacts hold plain files only")
        if path.is_file():
            paths.append(path)
    return tuple(
        FileEntry(path=path.relative_to(directory).as_posix(), size=path.stat().st_size, sha256=sha256)
        for path, sha256 in zip(paths, hash_files(paths), strict=True)
    )


def hash_files(paths: Sequence[Path]) -> list[str]:
    """SHA-256 of each file, in hex; several at a time."""
    with ThreadPoolExecutor(_FILES_HASHED_AT_A_TIME) as pool:
        return list(pool.map(hash_file, paths))


def hash_file(path: Path) -> str:
    """SHA-256 of the file, in hex, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
