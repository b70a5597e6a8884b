"""What of a store is needed: what something kept was made from, and what was decided and told of it.

Backwards everything counts: an input of what is kept is kept. Forwards almost nothing does, or a base model would keep
all that was ever made from it: only what tells of others, and only where all that it tells of is kept already.
"""

from collections.abc import Iterable, Sequence

from storm_core.manifest import Manifest
from storm_core.stores.inventory import Place
from storm_core.stores.lineage import Lineage
from storm_core.stores.store import Store

# Kinds that tell of others: losses, the judge's audit, what was registered, and the report, which tells of the first
# and the third.
_TELLING = ("training", "audit", "registration", "report")


class Needed:
    """The digests of what is needed, from what it is told to keep."""

    def __init__(self, store: Store, places: Sequence[Place]) -> None:
        self._store = store
        self._places = [place for place in places if place.finished]
        self._kinds = {place.digest: place.kind for place in self._places}
        self._lineage = Lineage(store)
        self._digests: set[str] = set()

    def __contains__(self, digest: str) -> bool:
        return digest in self._digests

    def keep(self, manifest: Manifest) -> None:
        """Keep an artifact, and what it was made from.

        Raises:
            InputError: a manifest of the store cannot be read.
            StoreError: the store cannot be used.
        """
        if manifest.digest not in self._digests:
            walked = self._lineage.walk(manifest, manifest.uri or "")
            self._digests |= {ancestor.digest for ancestor in walked}

    def keep_digests(self, digests: Iterable[str]) -> None:
        """Keep those of these artifacts that the store has, and what they were made from."""
        for digest in digests:
            if digest in self._kinds and digest not in self._digests:
                self.keep(self._manifest(digest))

    def keep_what_tells(self) -> None:
        """Keep what tells of nothing but what is kept already."""
        for kind in _TELLING:
            for place in self._places:
                if place.kind == kind and self._tells_of_kept(place.digest):
                    self._digests.add(place.digest)

    def _tells_of_kept(self, digest: str) -> bool:
        inputs = [one for digests in self._manifest(digest).inputs.values() for one in digests if one in self._kinds]
        return bool(inputs) and all(one in self._digests for one in inputs)

    def _manifest(self, digest: str) -> Manifest:
        return self._store.artifact(self._kinds[digest], digest).manifest()
