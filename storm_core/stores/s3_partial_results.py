"""Partial results of unfinished work in an S3 bucket; see `storm_core.stores.partial_results`."""

from pathlib import Path
from typing import TYPE_CHECKING

from storm_core.artifacts import hash_file
from storm_core.errors import InputError
from storm_core.manifest import FileEntry, check_relative_path
from storm_core.progress import report
from storm_core.stores.downloads import Downloader
from storm_core.stores.events import Observer
from storm_core.stores.locations import S3Location
from storm_core.stores.partial_results import parse_stored_name, stored_name
from storm_core.stores.rights import Tidying
from storm_core.stores.s3_client import delete_below, delete_object, list_objects
from storm_core.stores.uploads import Uploader

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3PartialResults:
    """Partial results below `location`, each one object; S3 shows an object whole or not at all.

    What its user may not remove stays: of several by one name the newest counts.
    """

    def __init__(self, client: "S3Client", location: S3Location, tidying: Tidying, observer: Observer) -> None:
        self._client = client
        self._location = location
        self._tidying = tidying
        self._observe = observer

    def names(self) -> tuple[str, ...]:
        """Names of the partial results that are there, sorted."""
        return tuple(sorted(self._stored()))

    def keep(self, name: str, source: Path) -> None:
        """Store a copy of the file `source` as the partial result `name`, in the place of an earlier one."""
        check_relative_path(name, self._location.uri)
        earlier = self._stored(name).get(name, [])
        entry = FileEntry(path=name, size=source.stat().st_size, sha256=hash_file(source))
        target = self._location.below(stored_name(name, entry.sha256))
        with Uploader(self._client, self._observe) as uploader:
            uploader.send_file(source, entry, target, lambda _: None)
        for old in earlier:
            if old.path != stored_name(name, entry.sha256):
                self._remove(old)

    def fetch(self, name: str, target: Path) -> bool:
        """Copy the partial result to the file `target`; False, and no file, where it is absent or was altered."""
        for stored in self._stored(name).get(name, []):
            source = self._location.below(stored.path)
            with Downloader(self._client, self._observe) as downloader:
                try:
                    downloader.fetch_file(source, stored, target, lambda _: None)
                except InputError:
                    report(f"{source.uri} is missing or was altered; it is made again")
                    continue
            return True
        return False

    def drop(self, name: str) -> None:
        """Remove the partial result, if it is there."""
        for stored in self._stored(name).get(name, []):
            self._remove(stored)

    def clear(self) -> None:
        """Remove every partial result under the key."""
        self._tidying.tidied(lambda: delete_below(self._client, self._location))

    def _remove(self, stored: FileEntry) -> None:
        self._tidying.tidied(lambda: delete_object(self._client, self._location.below(stored.path)))

    def _stored(self, start: str = "") -> dict[str, list[FileEntry]]:
        """The stored files of every partial result whose name starts with `start`, the newest of each first.

        Their hash is in their name.
        """
        found: dict[str, list[FileEntry]] = {}
        everything = list_objects(self._client, self._location, start)
        for listed in sorted(everything, key=lambda listed: listed.modified, reverse=True):
            parsed = parse_stored_name(listed.name)
            if parsed:
                name, sha256 = parsed
                found.setdefault(name, []).append(FileEntry(path=listed.name, size=listed.size, sha256=sha256))
        return found
