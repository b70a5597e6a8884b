"""What every store can do."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from storm_core.artifacts import Manifest
from storm_core.stores.inventory import Place
from storm_core.stores.parts import Parts


class Store(Protocol):
    """A place where artifacts are published, each whole or not at all, under its kind and digest."""

    @property
    def uri(self) -> str:
        """The store's own URI."""

    def staging_directory(self) -> Path:
        """A new empty directory for an output that will be published."""

    def publish(self, directory: Path, manifest: Manifest) -> str:
        """Bring the sealed `directory` to its place, moving it away, and return the URI."""

    def recall(self, key: str) -> dict[str, Any] | None:
        """What `remember` kept under `key`, or None."""

    def remember(self, key: str, entry: Mapping[str, Any]) -> None:
        """Keep the JSON object `entry` under `key`, replacing what was there in one step."""

    def parts(self, key: str) -> Parts:
        """The parts of unfinished work under `key`."""

    def places(self) -> Iterator[Place]:
        """Every artifact's place, finished or not."""
