"""Near duplicates: MinHash signatures of word shingles, banded into candidates, each candidate compared.

MinHash (Broder 1997) estimates the Jaccard similarity of two sets of shingles as the share of equal entries in their
signatures; banding (Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", chapter 3) finds the pairs worth
comparing. Signatures and the shape of the bands are datasketch's. Its index is not used: it keeps a Python object for
every band of every example, where sorted arrays need four bytes; only bands that examples share become objects here.
Measured on 200,000 examples of 17 bands, all kept: besides those keys, 73 bytes an example at the peak
where no two share a band, 901 where groups of ten share every band, and 1,943 where pairs do.

M: examples. P: permutations, the length of a signature. B: bands. S: shingles of an example.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from storm_core.examples.words import mix

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Seed of the permutations: which, does not matter, but signatures must not change between runs.
_SEED = 1
# How a miss and a needless comparison weigh when the bands are shaped: candidates are compared, so only misses cost.
_WEIGHTS = (0.02, 0.98)
_BASE = np.uint64(0x9E3779B97F4A7C15)
# Of very many candidates in one band (a template with little text of its own) the first ones are compared; without a
# bound the work would grow with the square of their number.
_MOST_COMPARED = 500


class MinHashSketch:
    """Makes MinHash signatures, (P,) of uint32 each."""

    def __init__(self, permutations: int) -> None:
        from datasketch import MinHash

        self._model = MinHash(num_perm=permutations, seed=_SEED, hashfunc=lambda hashes: hashes, scheme="affine32")

    def of(self, shingles_S: "NDArray[np.uint64]") -> "NDArray[np.uint32]":
        """The signature of a set of hashed shingles."""
        self._model.clear()
        # datasketch hashes one value at a time: here the one value is the array of all hashes.
        self._model.update_batch([(shingles_S >> np.uint64(32)).astype(np.uint32)])
        signature: NDArray[np.uint32] = self._model.hashvalues
        return signature


def band_shape(permutations: int, threshold: float) -> tuple[int, int]:
    """How many bands there are, and how many entries of a signature each takes, for pairs at or above `threshold`."""
    from datasketch import MinHashLSH

    index = MinHashLSH(threshold=threshold, num_perm=permutations, weights=_WEIGHTS)
    return index.b, index.r


def band_keys(signatures_MP: "NDArray[np.uint32]", bands: int, rows: int) -> "NDArray[np.uint32]":
    """A hash of each band of each signature, (M, B)."""
    entries_MBR = signatures_MP[:, : bands * rows].reshape(len(signatures_MP), bands, rows).astype(np.uint64)
    keys_MB = np.zeros((len(signatures_MP), bands), dtype=np.uint64)
    for row in range(rows):
        keys_MB = keys_MB * _BASE + entries_MBR[:, :, row] + np.uint64(1)
    return (mix(keys_MB) >> np.uint64(32)).astype(np.uint32)


def find_near_duplicates(
    signatures_of: "Callable[[list[int]], NDArray[np.uint32]]", keys_MB: "NDArray[np.uint32]", threshold: float
) -> Iterator[tuple[int, int, float]]:
    """Each example that is to be dropped, the earlier one that it repeats, and their estimated similarity.

    Examples are taken in their order. One is dropped if its similarity to an earlier one that stays is at least
    `threshold`; so whatever is dropped has its like among what stays, and no chain of small steps drops more.

    Args:
        signatures_of: the signatures of the examples asked for.
        keys_MB: see `band_keys`.
        threshold: see `band_shape`.
    """
    # What stays, by bucket: examples that share a band.
    staying: dict[int, list[int]] = {}
    for example, buckets in _shared_buckets(keys_MB):
        candidates = sorted({other for bucket in buckets for other in staying.get(bucket, ())})
        if candidates:
            compared = signatures_of([example, *candidates])
            similarities = (compared[1:] == compared[0]).mean(axis=1)
            nearest = int(similarities.argmax())
            if similarities[nearest] >= threshold:
                yield example, candidates[nearest], float(similarities[nearest])
                continue
        enter(staying, buckets, example)


def enter(staying: dict[int, list[int]], buckets: Iterable[int], example: int) -> None:
    """Add an example to each of its buckets that has room: what no later one is compared with need not be kept."""
    for bucket in buckets:
        members = staying.setdefault(bucket, [])
        if len(members) < _MOST_COMPARED:
            members.append(example)


def _shared_buckets(keys_MB: "NDArray[np.uint32]") -> Iterator[tuple[int, list[int]]]:
    """Each example that shares a bucket with another, in order, and the numbers of those buckets."""
    examples, buckets = _members(keys_MB)
    order = np.lexsort((buckets, examples))
    examples, buckets = examples[order], buckets[order]
    bounds = [0, *(np.flatnonzero(examples[1:] != examples[:-1]) + 1).tolist(), len(examples)]
    for start, end in pairwise(bounds if len(examples) else ()):
        yield int(examples[start]), buckets[start:end].tolist()


def _members(keys_MB: "NDArray[np.uint32]") -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """Example and bucket of every membership in a bucket that has more than one member."""
    examples: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    buckets: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    total = 0
    for keys_M in keys_MB.T:
        _, bucket_M, size = np.unique(keys_M, return_inverse=True, return_counts=True)
        shared = np.flatnonzero(size[bucket_M] > 1)
        examples.append(shared)
        buckets.append(bucket_M[shared] + total)
        total += len(size)
    return np.concatenate(examples), np.concatenate(buckets)
