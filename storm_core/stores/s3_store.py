"""A store in an S3 bucket: `STORM_STORE=s3://bucket/prefix`.

Laid out as the file store is: `<prefix>/<kind>/<digest>/` with the real file names, `.results/` and `.parts/`. The
manifest of an artifact is put last and only if there is none, so a reader finds the whole artifact or nothing.
"""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from storm_core.artifacts import MANIFEST_NAME, Artifact, FileEntry, Manifest, check_relative_path, parse_manifest
from storm_core.errors import InputError
from storm_core.progress import byte_progress
from storm_core.stores.cache import Cache
from storm_core.stores.downloads import RANGE_BYTES, Downloader
from storm_core.stores.events import Observer, ignore
from storm_core.stores.inventory import Leftover, Place, group_objects
from storm_core.stores.partial_results import PartialResults
from storm_core.stores.s3_client import (
    code_of,
    delete_object,
    errors_in_words,
    is_missing,
    list_objects,
    reading_again,
)
from storm_core.stores.s3_leftovers import part_leftovers, upload_leftovers
from storm_core.stores.s3_partial_results import S3PartialResults
from storm_core.stores.uploads import PART_BYTES, Uploader
from storm_core.stores.uris import S3Location, parse_s3_uri

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_DIGEST = re.compile("[0-9a-f]{64}")
_RESULTS = ".results"
_PARTS = ".parts"
# A manifest with 100,000 files has some 15 MB; more is not a manifest.
_MAX_MANIFEST_BYTES = 64 << 20


class S3Store:
    """A store below `location`. What is read lands in `cache`, and so does what is published."""

    def __init__(
        self,
        location: S3Location,
        client: "S3Client",
        cache: Cache,
        *,
        observer: Observer = ignore,
        part_bytes: int = PART_BYTES,
        range_bytes: int = RANGE_BYTES,
    ) -> None:
        self.location = location
        self.client = client
        self._cache = cache
        self._observe = observer
        self._part_bytes = part_bytes
        self._range_bytes = range_bytes

    @property
    def uri(self) -> str:
        """The store's own URI."""
        return self.location.uri

    def staging_directory(self) -> Path:
        """A new empty directory for an output that will be published, on the cache's file system."""
        return self._cache.staging_directory()

    def publish(self, directory: Path, manifest: Manifest) -> str:
        """Send the sealed `directory` to its place and return the URI; what is there already is not sent again.

        The directory is moved into the cache, where the next stage finds it.

        Raises:
            InputError: a file changed since it was hashed, or another artifact's manifest lies in the place.
            StoreError: the store cannot be used.
        """
        check_relative_path(f"{manifest.kind}/{manifest.digest}", "the manifest")
        target = self.location.below(manifest.kind, manifest.digest)
        self._publish_files(directory, manifest, target)
        self._observe("publish.before_adopt")
        self._cache.adopt(directory, manifest)
        return target.uri

    def publish_copy(self, directory: Path, manifest: Manifest) -> str:
        """Publish the listed files of `directory`, which stays as it is, and return the URI; see `publish`."""
        target = self.location.below(manifest.kind, manifest.digest)
        self._publish_files(directory, manifest, target)
        return target.uri

    def _publish_files(self, directory: Path, manifest: Manifest, target: S3Location) -> None:
        self._observe("publish.begin")
        if self._find_manifest(target) is None:
            self._send_files(directory, manifest.files, target, manifest)
            self._observe("publish.before_manifest")
            self._send_manifest(target, manifest)
        found = self.read_manifest(target)
        # What is there may have been damaged, or collected as rubbish while it was not finished.
        missing = self._missing_files(target, found)
        if missing:
            self._send_files(directory, missing, target, manifest)

    def open(self, location: S3Location) -> Artifact:
        """Fetch the artifact at `location` into the cache, verified.

        Raises:
            InputError: no finished artifact is there, it was altered, or it is larger than the cache.
            StoreError: the store cannot be used.
        """
        manifest = self.read_manifest(location)
        self._observe("open.manifest_read")
        path, lock = self._cache.open(manifest, lambda directory: self._fetch(location, manifest, directory))
        return Artifact(path=path, manifest=replace(manifest, uri=location.uri), lock=lock)

    def read_manifest(self, location: S3Location) -> Manifest:
        """The manifest of the artifact at `location`.

        Raises:
            InputError: there is none, or it is not that of this place.
            StoreError: the store cannot be used.
        """
        manifest = self._find_manifest(location)
        if manifest is None:
            raise InputError(
                f"there is no finished artifact at {location.uri}: no {MANIFEST_NAME}. Was its publishing interrupted? "
                "Files that no stage wrote are brought in with `storm artifact push`"
            )
        digest = location.key.rpartition("/")[2]
        if _DIGEST.fullmatch(digest) and digest != manifest.digest:
            raise InputError(f"{location.uri} holds the manifest of another artifact, {manifest.digest}")
        return manifest

    def pull(self, uri: str, directory: Path) -> Manifest:
        """Copy the artifact at `uri`, verified, into the empty `directory`, without manifest; returns that."""
        location = parse_s3_uri(uri)
        manifest = self.read_manifest(location)
        self._fetch(location, manifest, directory)
        return replace(manifest, uri=uri)

    def manifest(self, uri: str) -> Manifest:
        """The manifest of the artifact at `uri`; its files are not looked at."""
        return replace(self.read_manifest(parse_s3_uri(uri)), uri=uri)

    def damaged(self, uri: str) -> list[str]:
        """Names of the listed files that are missing or altered, after reading all of them."""
        location = parse_s3_uri(uri)
        manifest = self.read_manifest(location)
        total = sum(entry.size for entry in manifest.files)
        with (
            byte_progress(total, f"verifying {manifest.kind} {manifest.digest[:12]}") as advance,
            Downloader(self.client, self._observe, self._range_bytes) as downloader,
        ):
            return [
                entry.path
                for entry in manifest.files
                if not downloader.is_whole(location.below(entry.path), entry, advance)
            ]

    def check(self, location: S3Location) -> Manifest:
        """The manifest of the artifact at `location`, whose files are all there with the right sizes.

        Raises:
            InputError: see `read_manifest`; or a file is missing or has another size.
            StoreError: the store cannot be used.
        """
        manifest = self.read_manifest(location)
        missing = self._missing_files(location, manifest)
        if missing:
            raise InputError(f"{location.uri}/{missing[0].path} is missing or has another size than its manifest says")
        return replace(manifest, uri=location.uri)

    def recall(self, key: str) -> dict[str, Any] | None:
        """What `remember` kept under `key`, or None."""
        content = self._get(self.location.below(_RESULTS, f"{key}.json"))
        if content is None:
            return None
        entry: dict[str, Any] = json.loads(content)
        return entry

    def remember(self, key: str, entry: Mapping[str, Any]) -> None:
        """Keep the JSON object `entry` under `key`, replacing what was there in one step."""
        target = self.location.below(_RESULTS, f"{key}.json")
        content = json.dumps(entry, indent=2, sort_keys=True) + "\n"
        with errors_in_words(self.client, target):
            self.client.put_object(Bucket=target.bucket, Key=target.key, Body=content.encode())

    def partial_results(self, key: str) -> PartialResults:
        """The partial results of unfinished work under `key`."""
        return S3PartialResults(self.client, self.location.below(_PARTS, key), self._observe)

    def places(self) -> Iterator[Place]:
        """Every artifact below the store, finished or not.

        Raises:
            StoreError: the store cannot be used.
        """
        return group_objects(self.location, list_objects(self.client, self.location))

    def leftovers(self) -> Iterator[Leftover]:
        """The partial results of unfinished runs, and the uploads that were not completed."""
        yield from part_leftovers(self.client, self.location.below(_PARTS))
        yield from upload_leftovers(self.client, self.location)

    def file_names(self, uri: str) -> list[str]:
        """Names of all files in the place of the artifact at `uri`, listed in its manifest or not; sorted."""
        location = parse_s3_uri(uri)
        return sorted(found["Key"][len(location.key) + 1 :] for found in list_objects(self.client, location))

    def remove(self, uri: str, names: Sequence[str]) -> None:
        """Remove these files of the artifact at `uri`, its manifest first, so that no reader sees a part of it."""
        location = parse_s3_uri(uri)
        delete_object(self.client, location.below(MANIFEST_NAME))
        for name in names:
            check_relative_path(name, uri)
            delete_object(self.client, location.below(name))

    def _missing_files(self, target: S3Location, manifest: Manifest) -> list[FileEntry]:
        """The listed files that are not there with the right size."""
        start = len(target.key) + 1
        there = {found["Key"][start:]: found["Size"] for found in list_objects(self.client, target)}
        return [entry for entry in manifest.files if there.get(entry.path) != entry.size]

    def _send_files(
        self, directory: Path, entries: Sequence[FileEntry], target: S3Location, manifest: Manifest
    ) -> None:
        total = sum(entry.size for entry in entries)
        with (
            byte_progress(total, f"publishing {manifest.kind} {manifest.digest[:12]}") as advance,
            Uploader(self.client, self._observe, self._part_bytes) as uploader,
        ):
            uploader.send(directory, entries, target, advance)

    def _send_manifest(self, target: S3Location, manifest: Manifest) -> None:
        """Put the manifest unless there is one."""
        place = target.below(MANIFEST_NAME)
        body = replace(manifest, uri=None).to_json().encode()
        with errors_in_words(self.client, place):
            try:
                self.client.put_object(Bucket=place.bucket, Key=place.key, Body=body, IfNoneMatch="*")
            except ClientError as error:
                if code_of(error) not in ("PreconditionFailed", "412", "ConditionalRequestConflict", "409"):
                    raise
        self._observe("publish.manifest_sent")

    def _find_manifest(self, location: S3Location) -> Manifest | None:
        place = location.below(MANIFEST_NAME)
        content = self._get(place)
        return None if content is None else parse_manifest(content, place.uri)

    def _get(self, place: S3Location) -> bytes | None:
        def read() -> bytes:
            answer = self.client.get_object(Bucket=place.bucket, Key=place.key)
            with contextlib.closing(answer["Body"]) as body:
                if answer["ContentLength"] > _MAX_MANIFEST_BYTES:
                    raise InputError(f"{place.uri} has {answer['ContentLength']} bytes, too many for what it should be")
                return body.read()

        with errors_in_words(self.client, place):
            try:
                return reading_again(read)
            except ClientError as error:
                if is_missing(error):
                    return None
                raise

    def _fetch(self, location: S3Location, manifest: Manifest, directory: Path) -> None:
        total = sum(entry.size for entry in manifest.files)
        with (
            byte_progress(total, f"fetching {manifest.kind} {manifest.digest[:12]}") as advance,
            Downloader(self.client, self._observe, self._range_bytes) as downloader,
        ):
            downloader.fetch(location, manifest.files, directory, advance)
