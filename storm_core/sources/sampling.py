"""Which examples stay when a source is too large, and which shard each goes to; decided by content IDs alone."""

import hashlib
from collections.abc import Collection, Iterable


def sample_ids(ids: Collection[str], limit: int, seed: int) -> set[str]:
    """At most `limit` of the content IDs: those with the lowest SHA-256 of seed and ID, whatever order they come in."""
    return set(sorted(ids, key=lambda identity: _sample_key(identity, seed))[:limit])


def assign_shards(ids: Iterable[str], shards: int) -> dict[str, int]:
    """Shard number of every content ID: dealt round in the order of the IDs, so that sizes differ by one at most."""
    return {identity: position % shards for position, identity in enumerate(sorted(ids))}


def _sample_key(identity: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{identity}".encode()).digest()
