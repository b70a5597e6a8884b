"""A model that a stage wrote."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from storm_core.artifacts import Artifact
from storm_core.library.display import Displayed, Panel, bytes_in_words, number_in_words
from storm_core.manifest import Manifest
from storm_core.stores.references import open_reference


@dataclass(frozen=True, kw_only=True, repr=False)
class Model(Displayed):
    """A checkpoint that a stage wrote. The functions of this library, and `Path`, take it for its directory.

    Attributes:
        directory: the output; what names the model to `storm` and to the functions of this library.
        manifest: files, digest, options, inputs and metrics of it.
    """

    directory: Path
    manifest: Manifest

    @property
    def path(self) -> Path:
        """Where its files lie: the output, or with `STORM_STORE` set the store's content, fetched and verified.

        Raises:
            InputError: the content was altered.
            StoreError: the store cannot be used.
        """
        return self.directory if self.manifest.uri is None else self._content.path

    @cached_property
    def _content(self) -> Artifact:
        """The files in the store's cache, which keeps them for as long as this is held."""
        return open_reference(str(self.directory))

    @property
    def digest(self) -> str:
        """SHA-256 of its kind and files, in hex: the identity of the model."""
        return self.manifest.digest

    @property
    def metrics(self) -> dict[str, float]:
        """What the stage measured, by name."""
        return dict(self.manifest.metrics)

    def __fspath__(self) -> str:
        return str(self.path)

    def _panel(self) -> Panel:
        made, size = self.manifest.producer, sum(file.size for file in self.manifest.files)
        options = ", ".join(f"{name} {value}" for name, value in made["config"].items())
        return Panel(
            summary=f"Model {self.directory}: {bytes_in_words(size)}, by {made['verb']} ({options}), "
            f"digest {self.digest[:12]}",
            header=("metric", "value"),
            rows=[(name, number_in_words(name, value)) for name, value in self.metrics.items()],
        )
