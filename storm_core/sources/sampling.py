"""Which examples stay when a source is too large; decided by content IDs alone."""

import hashlib
from collections.abc import Sequence


def sample_positions(ids: Sequence[str], limit: int, seed: int) -> set[int]:
    """Positions of at most `limit` of the content IDs: those with the lowest SHA-256 of seed and ID, in any order."""
    if len(ids) <= limit:
        return set(range(len(ids)))
    keys = [hashlib.sha256(f"{seed}:{identity}".encode()).digest() for identity in ids]
    return set(sorted(range(len(ids)), key=keys.__getitem__)[:limit])
