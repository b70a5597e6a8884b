"""A store in an S3 bucket: `STORM_STORE=s3://bucket/prefix`. It is laid out as `layout.py` says."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from storm_core.manifest import Manifest
from storm_core.progress import report
from storm_core.stores.inventory import Leftover, Place, group_files
from storm_core.stores.layout import artifact_location, partial_results_location, result_location, results_location
from storm_core.stores.locations import S3Location
from storm_core.stores.partial_results import PartialResults
from storm_core.stores.rights import MissingRightError, Tidying
from storm_core.stores.s3_artifact import MAX_MANIFEST_BYTES, S3Access, S3Artifact
from storm_core.stores.s3_client import delete_object, list_objects, put_object, read_object
from storm_core.stores.s3_ledger import S3Ledger
from storm_core.stores.s3_leftovers import partial_result_leftovers, upload_leftovers
from storm_core.stores.s3_partial_results import S3PartialResults


class S3Store:
    """A store below `location`. What is read lands in the cache, and so does what is published."""

    def __init__(self, location: S3Location, access: S3Access) -> None:
        self.location = location
        self.access = access
        self._client = access.client
        self._tidying = Tidying(location.uri)
        self.ledger = S3Ledger(access.client, location, self._tidying)

    def artifact(self, kind: str, digest: str) -> S3Artifact:
        """The artifact of this kind and digest, be it there or not."""
        return S3Artifact(artifact_location(self.location, kind, digest), self.access)

    def staging_directory(self) -> Path:
        """A new empty directory for an output that will be published, on the cache's file system."""
        return self.access.cache.staging_directory()

    def publish(self, directory: Path, manifest: Manifest) -> S3Location:
        """Send the sealed `directory` to its place, and move it into the cache, where the next stage finds it.

        Returns the place. What is there already is not sent again.

        Raises:
            InputError: a file changed since it was hashed, or another artifact's manifest lies in the place.
            StoreError: the store cannot be used.
        """
        location = self.publish_copy(directory, manifest)
        self.access.observe("publish.before_adopt")
        self.access.cache.adopt(directory, manifest)
        return location

    def publish_copy(self, directory: Path, manifest: Manifest) -> S3Location:
        """Publish the listed files of `directory`, which stays as it is; returns their place. See `publish`."""
        artifact = self.artifact(manifest.kind, manifest.digest)
        artifact.publish(directory, manifest)
        return artifact.location

    def recall(self, key: str) -> dict[str, Any] | None:
        """What `remember` kept under `key`, or None."""
        content = read_object(self._client, result_location(self.location, key), MAX_MANIFEST_BYTES)
        if content is None:
            return None
        entry: dict[str, Any] = json.loads(content)
        return entry

    def remember(self, key: str, entry: Mapping[str, Any]) -> None:
        """Keep the JSON object `entry` under `key`, replacing what was there in one step."""
        content = json.dumps(entry, indent=2, sort_keys=True) + "\n"
        put_object(self._client, result_location(self.location, key), content.encode())

    def results(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Everything that `remember` kept, with its key; an empty entry where it cannot be read."""
        for listed in list_objects(self._client, results_location(self.location)):
            key = listed.name.removesuffix(".json")
            try:
                yield key, self.recall(key) or {}
            except (ValueError, RecursionError):
                yield key, {}

    def forget(self, key: str) -> None:
        """Remove what `remember` kept under `key`, if it is there."""
        delete_object(self._client, result_location(self.location, key))

    def partial_results(self, key: str) -> PartialResults:
        """The partial results of unfinished work under `key`."""
        location = partial_results_location(self.location).below(key)
        return S3PartialResults(self._client, location, self._tidying, self.access.observe)

    def places(self) -> Iterator[Place]:
        """Every artifact below the store, finished or not.

        Raises:
            StoreError: the store cannot be used.
        """
        return group_files(self.location, list_objects(self._client, self.location))

    def leftovers(self) -> Iterator[Leftover]:
        """The partial results of unfinished runs, and the uploads that were not completed.

        A line says so where this user may not list the latter; a rule of the bucket aborts them, too.
        """
        yield from partial_result_leftovers(self._client, partial_results_location(self.location))
        try:
            yield from upload_leftovers(self._client, self.location)
        except MissingRightError as error:
            report(f"uploads that were not completed are not looked for: {error}", "warning")
