"""What every store can do, and every artifact in one."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from storm_core.artifacts import Artifact
from storm_core.manifest import Manifest
from storm_core.stores.inventory import Leftover, Place
from storm_core.stores.ledger import Ledger
from storm_core.stores.locations import StoreLocation
from storm_core.stores.partial_results import PartialResults


class StoredArtifact(Protocol):
    """An artifact where it lies in a store; whether it is there shows when it is asked for.

    Each method raises `InputError` where there is no finished artifact, and `StoreError` where the store cannot be
    used.
    """

    @property
    def location(self) -> StoreLocation:
        """Where it lies."""

    def manifest(self) -> Manifest:
        """Its manifest, with its URI; its files are not looked at."""

    def check(self) -> Manifest:
        """Its manifest, after a check of its files that costs no transfer."""

    def open(self) -> Artifact:
        """The artifact on this machine, verified."""

    def pull(self, manifest: Manifest, directory: Path) -> None:
        """Copy the files that `manifest` lists, verified, into `directory`."""

    def damaged(self) -> list[str]:
        """Names of the listed files that are missing or altered, after reading all of them."""

    def remove_files(self, names: Sequence[str]) -> None:
        """Remove the manifest and then these files, so that no reader sees a part of the artifact."""

    def remove(self) -> None:
        """Remove the manifest and then every file, listed or not."""


class Store(Protocol):
    """A place where artifacts are published, each whole or not at all, under its kind and digest."""

    @property
    def location(self) -> StoreLocation:
        """Where the store lies."""

    @property
    def ledger(self) -> Ledger:
        """Notes by which the store's users agree."""

    def artifact(self, kind: str, digest: str) -> StoredArtifact:
        """The artifact of this kind and digest, be it there or not."""

    def staging_directory(self) -> Path:
        """A new empty directory for an output that will be published."""

    def publish(self, directory: Path, manifest: Manifest) -> StoreLocation:
        """Bring the sealed `directory` to its place, moving it away; returns the place."""

    def publish_copy(self, directory: Path, manifest: Manifest) -> StoreLocation:
        """Publish the listed files of `directory`, which stays as it is; returns their place."""

    def recall(self, key: str) -> dict[str, Any] | None:
        """What `remember` kept under `key`, or None."""

    def remember(self, key: str, entry: Mapping[str, Any]) -> None:
        """Keep the JSON object `entry` under `key`, replacing what was there in one step."""

    def results(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Everything that `remember` kept, with its key; an empty entry where it cannot be read."""

    def forget(self, key: str) -> None:
        """Remove what `remember` kept under `key`, if it is there."""

    def partial_results(self, key: str) -> PartialResults:
        """The partial results of unfinished work under `key`."""

    def places(self) -> Iterator[Place]:
        """Every artifact's place, finished or not."""

    def leftovers(self) -> Iterator[Leftover]:
        """What unfinished work has left beside the artifacts."""
