"""What every store can do."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from storm_core.artifacts import Manifest
from storm_core.stores.inventory import Leftover, Place
from storm_core.stores.partial_results import PartialResults


class Store(Protocol):
    """A place where artifacts are published, each whole or not at all, under its kind and digest."""

    @property
    def uri(self) -> str:
        """The store's own URI."""

    def staging_directory(self) -> Path:
        """A new empty directory for an output that will be published."""

    def publish(self, directory: Path, manifest: Manifest) -> str:
        """Bring the sealed `directory` to its place, moving it away, and return the URI."""

    def publish_copy(self, directory: Path, manifest: Manifest) -> str:
        """Publish the listed files of `directory`, which stays as it is, and return the URI."""

    def pull(self, uri: str, directory: Path) -> Manifest:
        """Copy the artifact at `uri`, verified, into the empty `directory`, without manifest; returns that."""

    def manifest(self, uri: str) -> Manifest:
        """The manifest of the artifact at `uri`; its files are not looked at."""

    def damaged(self, uri: str) -> list[str]:
        """Names of the listed files that are missing or altered, after reading all of them."""

    def recall(self, key: str) -> dict[str, Any] | None:
        """What `remember` kept under `key`, or None."""

    def remember(self, key: str, entry: Mapping[str, Any]) -> None:
        """Keep the JSON object `entry` under `key`, replacing what was there in one step."""

    def partial_results(self, key: str) -> PartialResults:
        """The partial results of unfinished work under `key`."""

    def places(self) -> Iterator[Place]:
        """Every artifact's place, finished or not."""

    def leftovers(self) -> Iterator[Leftover]:
        """What unfinished work has left beside the artifacts."""

    def file_names(self, uri: str) -> list[str]:
        """Names of all files in the place of the artifact at `uri`, listed in its manifest or not; sorted."""

    def remove(self, uri: str, names: Sequence[str]) -> None:
        """Remove these files of the artifact at `uri`, its manifest first, so that no reader sees a part of it."""
