"""What lies in a store: every artifact's place, finished or not, from a listing alone."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from storm_core.manifest import MANIFEST_NAME
from storm_core.stores.layout import artifact_location, split_file_name
from storm_core.stores.locations import L, StoreLocation


class ListedFile(NamedTuple):
    """A file below some location: its name there, size in bytes, and when it was written, with time zone."""

    name: str
    size: int
    modified: datetime


@dataclass(frozen=True, kw_only=True)
class Place:
    """The place of one artifact.

    Attributes:
        files: number of files beside the manifest.
        size: of those files together, in bytes.
        modified: when the newest of all its files was written, with time zone.
        finished: whether it has a manifest; without one no reader sees it.
    """

    kind: str
    digest: str
    location: StoreLocation
    files: int
    size: int
    modified: datetime
    finished: bool


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Something that unfinished work left: partial results, an upload that was not completed, a staging directory.

    Attributes:
        what: kind and place of it, in words.
        modified: when it was last written to, with time zone.
        remove: removes it.
        run_key: what partial results are kept under: a run's key, or what runs share; else empty.
    """

    what: str
    modified: datetime
    remove: Callable[[], None]
    run_key: str = ""


def group_files(store: L, files: Iterable[ListedFile]) -> Iterator[Place]:
    """The places that the files below `store` make; the files of one place follow each other."""
    named = ((found, file) for file in files if (found := split_file_name(file.name)))
    for (kind, digest), rows in groupby(named, key=lambda row: row[0][:2]):
        listed = list(rows)
        sizes = [file.size for (_, _, name), file in listed if name != MANIFEST_NAME]
        yield Place(
            kind=kind,
            digest=digest,
            location=artifact_location(store, kind, digest),
            files=len(sizes),
            size=sum(sizes),
            modified=max(file.modified for _, file in listed),
            finished=len(sizes) < len(listed),
        )


def list_files(root: Path) -> Iterator[ListedFile]:
    """Every file below a directory; what goes meanwhile is left out, and so is what is hidden at the top."""
    for directory, folders, names in os.walk(root, onerror=_fail_unless_gone):
        if Path(directory) == root:
            folders[:] = [folder for folder in folders if not folder.startswith(".")]
        folders.sort()
        for path in (Path(directory, name) for name in sorted(names)):
            with suppress(FileNotFoundError):
                yield ListedFile(path.relative_to(root).as_posix(), path.stat().st_size, modified_at(path))


def newest_change(root: Path) -> datetime:
    """When anything at or below a directory was last written to, with time zone.

    Raises:
        FileNotFoundError: it is gone.
    """
    newest = modified_at(root)
    for directory, _, names in os.walk(root, onerror=_fail_unless_gone):
        for path in (Path(directory), *(Path(directory, name) for name in names)):
            with suppress(FileNotFoundError):
                newest = max(newest, modified_at(path))
    return newest


def modified_at(path: Path) -> datetime:
    """When the file or directory was last written to, with time zone."""
    return datetime.fromtimestamp(path.stat().st_mtime).astimezone()


def _fail_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
