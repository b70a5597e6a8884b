"""What an artifact was made from, back to the sources, by the input digests that manifests hold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from storm_core.errors import InputError
from storm_core.manifest import Manifest
from storm_core.stores.store import Store


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """One artifact on the way back.

    Attributes:
        depth: steps from where the walk began.
        input_name: what the artifact below calls it; empty where the walk began.
        reference: where it is, or what named it when it was read.
        manifest: what made it; None where it is not in the store, as a source is.
        seen: whether the walk came through it before; its own inputs are then not walked again.
    """

    depth: int
    input_name: str
    digest: str
    reference: str
    manifest: Manifest | None
    seen: bool


class Lineage:
    """Walks the lineage of artifacts through one store."""

    def __init__(self, store: Store | None) -> None:
        self._store = store
        places = store.places() if store else ()
        self._kinds = {place.digest: place.kind for place in places if place.finished}

    def walk(self, manifest: Manifest, reference: str) -> Iterator[Ancestor]:
        """The artifact itself, then its inputs, each followed by its own, depth first.

        Raises:
            InputError: a manifest in the store cannot be read.
            StoreError: the store cannot be used.
        """
        yield from self._walk(manifest, reference, "", 0, set())

    def _walk(
        self, manifest: Manifest, reference: str, input_name: str, depth: int, seen: set[str]
    ) -> Iterator[Ancestor]:
        again = manifest.digest in seen
        seen.add(manifest.digest)
        yield Ancestor(
            depth=depth,
            input_name=input_name,
            digest=manifest.digest,
            reference=reference,
            manifest=manifest,
            seen=again,
        )
        if again:
            return
        for name, digests in sorted(manifest.inputs.items()):
            references = _references(manifest.references, name, len(digests))
            for digest, named in zip(digests, references, strict=True):
                found = self._find(digest)
                if found:
                    yield from self._walk(found, found.uri or named, name, depth + 1, seen)
                else:
                    yield Ancestor(
                        depth=depth + 1, input_name=name, digest=digest, reference=named, manifest=None, seen=False
                    )

    def _find(self, digest: str) -> Manifest | None:
        if self._store is None or digest not in self._kinds:
            return None
        manifest = self._store.artifact(self._kinds[digest], digest).manifest()
        if manifest.digest != digest:
            raise InputError(f"{manifest.uri} holds the manifest of another artifact, {manifest.digest}")
        return manifest


def _references(references: Mapping[str, list[str]], name: str, count: int) -> list[str]:
    """What named the inputs; unknown for artifacts that were made before that was written down."""
    listed = references.get(name, [])
    return list(listed) if len(listed) == count else [""] * count
