"""An artifact in an S3 bucket.

Its manifest is put last and only if there is none, so a reader finds the whole artifact or nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.manifest import MANIFEST_NAME, FileEntry, Manifest, check_relative_path, parse_manifest
from storm_core.progress import byte_progress
from storm_core.stores.cache import Cache
from storm_core.stores.downloads import RANGE_BYTES, Downloader
from storm_core.stores.events import Observer, ignore
from storm_core.stores.layout import is_named_by_digest
from storm_core.stores.locations import S3Location
from storm_core.stores.rights import MissingRightError
from storm_core.stores.s3_client import (
    delete_below,
    delete_object,
    list_objects,
    put_if_absent,
    read_object,
    size_of,
)
from storm_core.stores.uploads import PART_BYTES, Uploader

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# A manifest with 100,000 files has some 15 MB; more is not a manifest.
MAX_MANIFEST_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class S3Access:
    """How buckets are reached: by `client`, whatever is read landing in `cache`."""

    client: "S3Client"
    cache: Cache
    observe: Observer = ignore
    part_bytes: int = PART_BYTES
    range_bytes: int = RANGE_BYTES


class S3Artifact:
    """The artifact at `location`, be it there or not."""

    def __init__(self, location: S3Location, access: S3Access) -> None:
        self.location = location
        self._access = access
        self._client = access.client
        self._observe = access.observe

    def publish(self, directory: Path, manifest: Manifest) -> None:
        """Send the listed files of `directory`, then the manifest; what is there already is not sent again.

        Raises:
            InputError: a file changed since it was hashed, or another artifact's manifest lies in the place.
            StoreError: the store cannot be used.
        """
        self._observe("publish.begin")
        is_ours = False
        if not self._is_finished():
            self._send_files(directory, manifest.files, manifest)
            self._observe("publish.before_manifest")
            is_ours = self._send_manifest(manifest)
        # What is there may have been damaged, or collected as rubbish while it was not finished.
        missing = self._missing_files(manifest if is_ours else self._read_manifest())
        if missing:
            self._send_files(directory, missing, manifest)

    def manifest(self) -> Manifest:
        """Its manifest, with its URI; its files are not looked at.

        Raises:
            InputError: there is none, or it is not that of this place.
            StoreError: the store cannot be used.
        """
        return replace(self._read_manifest(), uri=self.location.uri)

    def check(self) -> Manifest:
        """Its manifest, after a check that its files are all there with the right sizes.

        Raises:
            InputError: see `manifest`; or a file is missing or has another size.
            StoreError: the store cannot be used.
        """
        manifest = self.manifest()
        missing = self._missing_files(manifest)
        if missing:
            raise InputError(f"{manifest.uri}/{missing[0].path} is missing or has another size than its manifest says")
        return manifest

    def open(self) -> Artifact:
        """Fetch the artifact into the cache, verified.

        Raises:
            InputError: no finished artifact is there, it was altered, or it is larger than the cache.
            StoreError: the store cannot be used.
        """
        manifest = self._read_manifest()
        self._observe("open.manifest_read")
        path, lock = self._access.cache.open(manifest, lambda directory: self.pull(manifest, directory))
        return Artifact(path=path, manifest=replace(manifest, uri=self.location.uri), lock=lock)

    def pull(self, manifest: Manifest, directory: Path) -> None:
        """Copy the files that `manifest` lists, verified, into `directory`, which may hold some of them already.

        Raises:
            InputError: a file is missing or was altered.
            StoreError: the store cannot be used.
        """
        with (
            byte_progress(_bytes_of(manifest.files), f"fetching {_named(manifest)}") as advance,
            Downloader(self._client, self._observe, self._access.range_bytes) as downloader,
        ):
            downloader.fetch(self.location, manifest.files, directory, advance)

    def damaged(self) -> list[str]:
        """Names of the listed files that are missing or altered, after reading all of them."""
        manifest = self._read_manifest()
        with (
            byte_progress(_bytes_of(manifest.files), f"verifying {_named(manifest)}") as advance,
            Downloader(self._client, self._observe, self._access.range_bytes) as downloader,
        ):
            return [
                entry.path
                for entry in manifest.files
                if not downloader.is_whole(self.location.below(entry.path), entry, advance)
            ]

    def remove_files(self, names: Sequence[str]) -> None:
        """Remove the manifest and then these files, so that no reader sees a part of the artifact."""
        delete_object(self._client, self.location.below(MANIFEST_NAME))
        for name in names:
            check_relative_path(name, self.location.uri)
            delete_object(self._client, self.location.below(name))

    def remove(self) -> None:
        """Remove the manifest and then every file, listed or not."""
        self.remove_files([])
        delete_below(self._client, self.location)

    def _read_manifest(self) -> Manifest:
        manifest = self._find_manifest()
        if manifest is None:
            raise InputError(
                f"there is no finished artifact at {self.location.uri}: no {MANIFEST_NAME}. Was its publishing "
                "interrupted? Files that no stage wrote are brought in with `storm artifact push`"
            )
        if is_named_by_digest(self.location) and self.location.name != manifest.digest:
            raise InputError(f"{self.location.uri} holds the manifest of another artifact, {manifest.digest}")
        return manifest

    def _find_manifest(self) -> Manifest | None:
        place = self.location.below(MANIFEST_NAME)
        content = read_object(self._client, place, MAX_MANIFEST_BYTES)
        return None if content is None else parse_manifest(content, place.uri)

    def _is_finished(self) -> bool:
        """Whether a manifest is there; False too where a user may not know, who may not list what is there."""
        try:
            return self._find_manifest() is not None
        except MissingRightError:
            if self._is_listed(MANIFEST_NAME):
                raise
            return False

    def _is_listed(self, name: str) -> bool:
        try:
            return any(listed.name == name for listed in list_objects(self._client, self.location, name))
        except MissingRightError:
            return False

    def _missing_files(self, manifest: Manifest) -> list[FileEntry]:
        """The listed files that are not there with the right size."""
        try:
            there: dict[str, int | None] = {
                listed.name: listed.size for listed in list_objects(self._client, self.location)
            }
        except MissingRightError:  # Then one by one.
            names = [entry.path for entry in manifest.files]
            there = {name: size_of(self._client, self.location.below(name)) for name in names}
        return [entry for entry in manifest.files if there.get(entry.path) != entry.size]

    def _send_files(self, directory: Path, entries: Sequence[FileEntry], manifest: Manifest) -> None:
        with (
            byte_progress(_bytes_of(entries), f"publishing {_named(manifest)}") as advance,
            Uploader(self._client, self._observe, self._access.part_bytes) as uploader,
        ):
            uploader.send(directory, entries, self.location, advance)

    def _send_manifest(self, manifest: Manifest) -> bool:
        """Put the manifest unless there is one; returns whether it was put."""
        place = self.location.below(MANIFEST_NAME)
        body = replace(manifest, uri=None).to_json().encode()
        is_ours = put_if_absent(self._client, place, body)
        self._observe("publish.manifest_sent")
        return is_ours


def _bytes_of(entries: Sequence[FileEntry]) -> int:
    return sum(entry.size for entry in entries)


def _named(manifest: Manifest) -> str:
    return f"{manifest.kind} {manifest.digest[:12]}"
