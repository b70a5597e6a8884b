"""An artifact: a directory and the `manifest.json` that lists its files.

The manifest is written last, so a directory without one is unfinished. A reader opens only the listed files and checks
size and SHA-256 of each; anything else lying beside them is ignored.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from storm_core.errors import InputError

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = 1
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of an artifact: POSIX path relative to the directory, size in bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What `manifest.json` holds.

    Attributes:
        digest: SHA-256 over kind and file list, in hex: the identity of the content.
        producer: verb, version, code digest and config of the stage that wrote it; empty for a foreign directory.
        inputs: digests of the artifacts it was made from, by input name.
        uri: where the content lies when the manifest travels alone; None when it lies beside the manifest.
    """

    kind: str
    files: tuple[FileEntry, ...]
    digest: str
    producer: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, list[str]] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    uri: str | None = None

    def to_json(self) -> str:
        """The manifest as JSON text with sorted keys."""
        return json.dumps({"format": FORMAT_VERSION, **asdict(self)}, indent=2, sort_keys=True) + "\n"


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """An opened artifact: its directory, whose listed files were verified, and its manifest."""

    path: Path
    manifest: Manifest

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
) -> Manifest:
    """Write `manifest.json` over everything in `directory`, which is then a finished artifact.

    Raises:
        ValueError: the directory is empty.
        InputError: it holds a symbolic link.
    """
    files = list_files(directory)
    if not files:
        raise ValueError(f"nothing was written to {directory}; an artifact needs at least one file")
    manifest = Manifest(
        kind=kind,
        files=files,
        digest=content_digest(kind, files),
        producer=producer,
        inputs=inputs,
        metrics=metrics,
    )
    write_manifest(directory, manifest)
    return manifest


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write the manifest in one step: a reader finds the old one, the new one or none, never a part."""
    partial = directory / f".{MANIFEST_NAME}.partial"
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(manifest.to_json())
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(directory / MANIFEST_NAME)


def read_manifest(path: Path) -> Manifest:
    """Parse and check the manifest file at `path`.

    Raises:
        InputError: it is not a manifest, or names a file outside its directory, or its digest does not fit its list.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(raw, dict) or raw.pop("format", None) != FORMAT_VERSION:
            raise InputError(f"{path} is not a Storm manifest of format {FORMAT_VERSION}")
        raw["files"] = tuple(FileEntry(**entry) for entry in raw["files"])
        manifest = Manifest(**raw)
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is not a readable manifest: {error}") from error
    for entry in manifest.files:
        check_relative_path(entry.path, path)
    if content_digest(manifest.kind, manifest.files) != manifest.digest:
        raise InputError(f"{path} was altered: its digest does not match its list of files")
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
        if not path.is_file() or path.is_symlink():
            raise InputError(f"{path} is missing but {MANIFEST_NAME} lists it; fetch or produce the artifact again")
        if path.stat().st_size != entry.size:
            raise InputError(f"{path} has {path.stat().st_size} bytes, its manifest says {entry.size}; it was altered")
        if hash_file(path) != entry.sha256:
            raise InputError(f"{path} does not have the SHA-256 that its manifest lists; it was altered")


def list_files(directory: Path, *, follow_links: bool = False) -> tuple[FileEntry, ...]:
    """Every plain file below `directory` but the manifest, hashed, sorted by path; hidden files are left out.

    Links to files are followed only on request: a foreign model directory may be a hub cache, which is made of them.

    Raises:
        InputError: a symbolic link, which could lead outside, where links are not followed.
    """
    entries = []
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        if any(part.startswith(".") for part in relative.parts) or relative.as_posix() == MANIFEST_NAME:
            continue
        if path.is_symlink() and not follow_links:
            raise InputError(f"{path} is a symbolic link; artifacts hold plain files only")
        if path.is_file():
            entries.append(FileEntry(path=relative.as_posix(), size=path.stat().st_size, sha256=hash_file(path)))
    return tuple(entries)


def content_digest(kind: str, files: tuple[FileEntry, ...]) -> str:
    """SHA-256, in hex, of the kind and the list of files (path, size, hash), independent of where they lie."""
    listing = [kind, sorted([entry.path, entry.size, entry.sha256] for entry in files)]
    return hashlib.sha256(json.dumps(listing, separators=(",", ":")).encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of the file, in hex, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def check_relative_path(name: str, where: Path) -> None:
    """Refuse a listed file name that could lead outside its directory.

    Raises:
        InputError: the name is absolute, empty, or holds `..`, a backslash or a NUL.
    """
    path = PurePosixPath(name)
    plain = bool(name) and not path.is_absolute() and path.as_posix() == name and ".." not in path.parts
    if not plain or "\\" in name or "\0" in name:
        raise InputError(f"{where} lists the file {name!r}, which is not a plain relative path")
