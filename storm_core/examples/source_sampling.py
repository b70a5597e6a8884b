"""Which examples stay when a source is too large; decided by content IDs alone."""

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Enough that no two of a source are equal.
_KEY_BYTES = 16


def sample_positions(ids: Iterable[str], count: int, limit: int, seed: int) -> "NDArray[np.int64]":
    """Positions of at most `limit` of `count` content IDs: those with the lowest SHA-256 of seed and ID, in any order.

    Of each ID 24 bytes are held.
    """
    digests = (hashlib.sha256(f"{seed}:{identity}".encode()).digest() for identity in ids)
    keys_N = np.fromiter((digest[:_KEY_BYTES] for digest in digests), dtype=f"S{_KEY_BYTES}", count=count)
    lowest: NDArray[np.int64] = np.argsort(keys_N, kind="stable")[:limit]
    return lowest
