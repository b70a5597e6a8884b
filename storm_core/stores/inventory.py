"""What lies in a store: every artifact's place, finished or not, from a listing alone."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from storm_core.artifacts import MANIFEST_NAME
from storm_core.stores.uris import S3Location

_PLACE = re.compile(r"(?P<kind>[^./][^/]*)/(?P<digest>[0-9a-f]{64})/(?P<name>.+)")


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
    uri: str
    files: int
    size: int
    modified: datetime
    finished: bool


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Something that unfinished work left: parts, an upload that was not completed, a staging directory.

    Attributes:
        what: kind and place of it, in words.
        modified: when it was last written to, with time zone.
        remove: removes it.
    """

    what: str
    modified: datetime
    remove: Callable[[], None]


def group_objects(store: S3Location, objects: Iterable[Any]) -> Iterator[Place]:
    """The places among the `objects` that S3 lists below `store`, in the order of their keys."""
    start = len(store.key) + 1 if store.key else 0
    rows = ((listed["Key"][start:], listed["Size"], listed["LastModified"]) for listed in objects)
    return _group(rows, store.uri)


def walk_directory(root: Path) -> Iterator[Place]:
    """The places in the file store at `root`, sorted."""
    paths = (path for path in sorted(root.glob("*/*/**/*")) if path.is_file())
    rows = ((path.relative_to(root).as_posix(), path.stat().st_size, modified_at(path)) for path in paths)
    return _group(rows, root.resolve().as_uri())


def modified_at(path: Path) -> datetime:
    """When the file or directory was last written to, with time zone."""
    return datetime.fromtimestamp(path.stat().st_mtime).astimezone()


def _group(rows: Iterable[tuple[str, int, datetime]], store_uri: str) -> Iterator[Place]:
    """Gather name, size and time of the files of each place; the files of one place follow each other."""
    place: Place | None = None
    for name, size, modified in rows:
        found = _PLACE.fullmatch(name)
        if not found:
            continue
        if place is None or (place.kind, place.digest) != (found["kind"], found["digest"]):
            if place:
                yield place
            uri = f"{store_uri}/{found['kind']}/{found['digest']}"
            place = Place(
                kind=found["kind"], digest=found["digest"], uri=uri, files=0, size=0, modified=modified, finished=False
            )
        is_manifest = found["name"] == MANIFEST_NAME
        place = Place(
            kind=place.kind,
            digest=place.digest,
            uri=place.uri,
            files=place.files + (not is_manifest),
            size=place.size + (0 if is_manifest else size),
            modified=max(place.modified, modified),
            finished=place.finished or is_manifest,
        )
    if place:
        yield place
