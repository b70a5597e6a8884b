"""Samples and orders of examples that only their IDs, a purpose and a seed decide: the same on every machine."""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")
Keys = npt.NDArray[np.uint64]


def keys_of(ids: Iterable[str], salt: str) -> Keys:
    """The first eight bytes of SHA-256 over salt and ID, for each ID; two are hardly ever equal.

    Args:
        ids: content IDs in hex.
        salt: says what the keys are for, and the seed: who samples for two purposes takes two salts.
    """
    digests = (hashlib.sha256(f"{salt}{id}".encode()).digest() for id in ids)
    return np.fromiter((int.from_bytes(digest[:8], "big") for digest in digests), dtype=np.uint64)


def shuffle(ids: Iterable[str], salt: str) -> npt.NDArray[np.int64]:
    """Positions of all IDs in the order of their keys; the first of them are a fair sample.

    An ID that is in a sample is in a larger one too, and which of two comes first depends on no third.
    """
    order: npt.NDArray[np.int64] = np.argsort(keys_of(ids, salt), kind="stable")
    return order


class Lowest(Generic[T]):
    """The items with the lowest keys of a stream, at most `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._found: list[tuple[int, T]] = []

    def offer(self, keys: Keys, item: Callable[[int], T]) -> None:
        """Take what is low enough; `item` makes the item in a place of `keys`, and is called for few of them."""
        if not self._limit:
            return
        places = np.arange(len(keys))
        if len(self._found) == self._limit:
            places = places[keys < np.uint64(self._found[-1][0])]
        places = places[np.argsort(keys[places], kind="stable")[: self._limit]]
        both = self._found + [(int(keys[place]), item(int(place))) for place in places]
        self._found = sorted(both, key=lambda pair: pair[0])[: self._limit]

    def items(self) -> list[T]:
        """What was kept, from the lowest key."""
        return [item for _, item in self._found]


class NumberSample:
    """Pairs of numbers with the lowest keys of a stream: all of them up to `limit`, a fair sample beyond it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._keys: Keys = np.zeros(0, np.uint64)
        self._pairs: npt.NDArray[np.float64] = np.zeros((0, 2))

    def offer(self, keys: Keys, one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> None:
        """Take what is low enough."""
        full = len(self._keys) == self._limit
        low = keys < self._keys.max() if full else np.ones(len(keys), dtype=bool)
        if not low.any():
            return
        every = np.concatenate([self._keys, keys[low]])
        pairs = np.concatenate([self._pairs, np.stack([one[low], other[low]], axis=1)])
        chosen = np.argsort(every, kind="stable")[: self._limit]
        self._keys, self._pairs = every[chosen], pairs[chosen]

    def pairs(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The first and the second numbers."""
        return self._pairs[:, 0], self._pairs[:, 1]


def allocate(counts: Mapping[str, int], wanted: int) -> dict[str, int]:
    """How many of each group to take so that `wanted` are taken in proportion, or all where there are fewer."""
    total = sum(counts.values())
    taken = min(wanted, total)
    return round_quotas({name: taken * count / max(1, total) for name, count in counts.items()}, taken)


def round_quotas(quotas: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers for quotas, `total` in all: the largest remainder method, ties by name."""
    shares = {name: math.floor(quota) for name, quota in quotas.items()}
    by_remainder = sorted(quotas, key=lambda name: (shares[name] - quotas[name], name))
    for name in by_remainder[: total - sum(shares.values())]:
        shares[name] += 1
    return shares
