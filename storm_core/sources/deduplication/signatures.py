"""The signatures of examples, on disk until candidates are compared, and the keys of their bands, in memory.

M: examples. P: permutations. B: bands. S: shingles of an example.
"""

from array import array
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from storm_core.sources.deduplication.near_duplicates import MinHashSketch, band_keys, band_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PENDING_ROWS = 4096


class Signatures:
    """What examples are compared by, in the order of the spool: a byte and 4 for each band of each in memory."""

    def __init__(self, signature_file: Path, permutations: int, threshold: float) -> None:
        self._signature_file = signature_file
        self._sketch = MinHashSketch(permutations)
        self._permutations = permutations
        self._bands = band_shape(permutations, threshold)
        self._has_signature = array("B")
        self._pending: list[NDArray[np.uint32]] = []
        self._keys: list[NDArray[np.uint32]] = []

    def add(self, shingles_S: "NDArray[np.uint64]") -> None:
        """Note the signature of the next example; one without shingles has none, and is not compared with others."""
        has_signature = len(shingles_S) > 0
        self._has_signature.append(has_signature)
        self._pending.append(
            self._sketch.of(shingles_S) if has_signature else np.zeros(self._permutations, dtype=np.uint32)
        )
        if len(self._pending) == _PENDING_ROWS:
            self._flush()

    @property
    def has_signature(self) -> "NDArray[np.bool_]":
        """Which examples have a signature, (M,)."""
        return np.frombuffer(self._has_signature.tobytes(), dtype=np.bool_)

    @property
    def keys(self) -> "NDArray[np.uint32]":
        """The keys of each example's bands, (M, B)."""
        self._flush()
        return np.concatenate(self._keys) if self._keys else np.empty((0, self._bands[0]), dtype=np.uint32)

    @property
    def matrix(self) -> "NDArray[np.uint32]":
        """The signatures, (M, P), on disk."""
        self._flush()
        shape = (len(self._has_signature), self._permutations)
        return np.memmap(self._signature_file, dtype=np.uint32, mode="r", shape=shape)

    def _flush(self) -> None:
        if self._pending:
            signatures = np.stack(self._pending)
            with self._signature_file.open("ab") as stream:
                stream.write(signatures.tobytes())
            self._keys.append(band_keys(signatures, *self._bands))
            self._pending.clear()
