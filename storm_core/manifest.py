"""The `manifest.json` of an artifact: what it holds, how it is written, and what is refused when it is read."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from storm_core.errors import InputError

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = 1
# A name on a file system has 255 bytes at most, less what marks a file that is being fetched; a key in S3 has 1024.
_MAX_NAME_BYTES = 240
_MAX_PATH_BYTES = 700
# Backslash, control characters, and halves of surrogate pairs, which no encoding holds.
_REFUSED_IN_NAMES = frozenset(["\\", *map(chr, range(0x20)), *map(chr, range(0xD800, 0xE000))])


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
        producer: verb, version, code digest, packages and config of the stage that wrote it; empty for a foreign
            directory.
        inputs: digests of the artifacts it was made from, by input name.
        references: what named those artifacts when it was made, in the same order: a store URI, `hf://` with its
            commit, or a local path.
        uri: where the content lies when the manifest travels alone; None when it lies beside the manifest.
    """

    kind: str
    files: tuple[FileEntry, ...]
    digest: str
    producer: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, list[str]] = field(default_factory=dict)
    references: Mapping[str, list[str]] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    uri: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(entry.size for entry in self.files)

    def to_json(self) -> str:
        """The manifest as JSON text with sorted keys."""
        return json.dumps({"format": FORMAT_VERSION, **asdict(self)}, indent=2, sort_keys=True) + "\n"


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
    return parse_manifest(path.read_bytes(), str(path))


def parse_manifest(content: bytes, where: str) -> Manifest:
    """Parse and check a manifest that was read from `where`.

    Raises:
        InputError: see `read_manifest`.
    """
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not a readable manifest: {error}") from error
    if not isinstance(raw, dict) or raw.pop("format", None) != FORMAT_VERSION:
        raise InputError(f"{where} is not a Storm manifest of format {FORMAT_VERSION}")
    manifest = _manifest_of(raw, where)
    _check_kind(manifest.kind, where)
    check_listed(manifest.files, where)
    if content_digest(manifest.kind, manifest.files) != manifest.digest:
        raise InputError(f"{where} was altered: its digest does not match its list of files")
    return manifest


def _manifest_of(raw: Mapping[str, Any], where: str) -> Manifest:
    """The manifest with these fields, each of the right type."""
    listed = raw.get("files")
    fits = {"kind", "files", "digest"} <= set(raw) <= {one.name for one in fields(Manifest)}
    fits = fits and isinstance(listed, list) and all(_is_file_entry(entry) for entry in listed)
    fits = fits and isinstance(raw["kind"], str) and isinstance(raw["digest"], str)
    fits = fits and isinstance(raw.get("uri"), str | None)
    mappings = [raw.get(name, {}) for name in ("producer", "inputs", "references", "metrics")]
    if not fits or not all(isinstance(mapping, dict) for mapping in mappings):
        raise InputError(f"{where} is not a readable manifest: a field is missing, unknown or of the wrong type")
    return Manifest(**{**raw, "files": tuple(FileEntry(**entry) for entry in raw["files"])})


def _is_file_entry(entry: object) -> bool:
    if not isinstance(entry, dict) or set(entry) != {"path", "size", "sha256"}:
        return False
    size, sha256 = entry["size"], entry["sha256"]
    is_size = isinstance(size, int) and not isinstance(size, bool) and size >= 0
    is_hash = isinstance(sha256, str) and re.fullmatch("[0-9a-f]{64}", sha256) is not None
    return is_size and is_hash and isinstance(entry["path"], str)


def _check_kind(kind: str, where: object) -> None:
    if kind.startswith(".") or "/" in kind or any(character in _REFUSED_IN_NAMES for character in kind):
        raise InputError(f"{where} says the kind {kind!r}, which is not a plain name")


def check_listed(files: Sequence[FileEntry], where: object) -> None:
    """Refuse a list of files that could not lie together in one directory, or in any bucket."""
    names = {entry.path for entry in files}
    if len(names) != len(files):
        raise InputError(f"{where} lists a file twice")
    for name in (entry.path for entry in files):
        check_relative_path(name, where)
        path = PurePosixPath(name)
        if name == MANIFEST_NAME or any(part.startswith(".") for part in path.parts):
            raise InputError(
                f"{where} lists the file {name!r}; hidden files and the manifest are not part of an artifact"
            )
        if len(name.encode()) > _MAX_PATH_BYTES or any(len(part.encode()) > _MAX_NAME_BYTES for part in path.parts):
            raise InputError(f"{where} lists the file {name[:60]!r}..., whose name is too long")
        if any(parent.as_posix() in names for parent in path.parents):
            raise InputError(f"{where} lists {name!r} below another file")


def check_relative_path(name: str, where: object) -> None:
    """Refuse a listed file name that could lead outside its directory.

    Raises:
        InputError: the name is absolute, empty, or holds `..`, a backslash or a control character.
    """
    if not is_plain_path(name):
        raise InputError(f"{where} lists the file {name!r}, which is not a plain relative path")


def is_plain_path(name: str) -> bool:
    """Whether the name leads to one place below a directory, and to the same one in every store."""
    path = PurePosixPath(name)
    plain = bool(path.parts) and not path.is_absolute() and path.as_posix() == name and ".." not in path.parts
    return plain and not any(character in _REFUSED_IN_NAMES for character in name)


def content_digest(kind: str, files: tuple[FileEntry, ...]) -> str:
    """SHA-256, in hex, of the kind and the list of files (path, size, hash), independent of where they lie."""
    listing = [kind, sorted([entry.path, entry.size, entry.sha256] for entry in files)]
    return hashlib.sha256(json.dumps(listing, separators=(",", ":")).encode()).hexdigest()
