"""What the decisions over all examples need to know of each: a few bytes an example, so that millions fit.

M: examples in the spool. P: permutations. B: bands.
"""

from array import array
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from storm_core.sources.near_duplicates import band_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ID_BYTES = 32
_PENDING_ROWS = 4096


class Facts:
    """Content IDs, sources and signatures of examples, in the order of the spool.

    Signatures go to a file, and come back as pages of it when candidates are compared; IDs, sources and the keys of the
    bands stay in memory: 34 bytes an example, and 4 for each band.
    """

    def __init__(self, signature_file: Path, permutations: int, bands: tuple[int, int]) -> None:
        self._signature_file = signature_file
        self._permutations = permutations
        self._bands = bands
        self._ids = bytearray()
        self._sources = array("H")
        self._sketched = array("B")
        self._pending: list[NDArray[np.uint32]] = []
        self._keys: list[NDArray[np.uint32]] = []
        self._stream = signature_file.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._stream.close()

    def add(self, identity: str, source: int, signature_P: "NDArray[np.uint32] | None") -> None:
        """Note the next example; `signature_P` is None where it is not to be compared with others."""
        self._ids += bytes.fromhex(identity)
        self._sources.append(source)
        self._sketched.append(signature_P is not None)
        self._pending.append(np.zeros(self._permutations, dtype=np.uint32) if signature_P is None else signature_P)
        if len(self._pending) == _PENDING_ROWS:
            self._flush()

    @property
    def ids(self) -> "NDArray[np.uint64]":
        """Content IDs as four big integers each, (M, 4), which sort as their hexadecimal texts do."""
        return np.frombuffer(bytes(self._ids), dtype=">u8").reshape(-1, _ID_BYTES // 8).astype(np.uint64)

    @property
    def sources(self) -> "NDArray[np.uint16]":
        """Position of each example's source among the sources, (M,)."""
        return np.frombuffer(self._sources.tobytes(), dtype=np.uint16)

    @property
    def sketched(self) -> "NDArray[np.bool_]":
        """Which examples have a signature, (M,)."""
        return np.frombuffer(self._sketched.tobytes(), dtype=np.bool_)

    @property
    def keys(self) -> "NDArray[np.uint32]":
        """The keys of each example's bands, (M, B)."""
        self._flush()
        return np.concatenate(self._keys) if self._keys else np.empty((0, self._bands[0]), dtype=np.uint32)

    @property
    def signatures(self) -> "NDArray[np.uint32]":
        """The signatures, (M, P), on disk."""
        self._flush()
        self._stream.flush()
        shape = (len(self._sources), self._permutations)
        return np.memmap(self._signature_file, dtype=np.uint32, mode="r", shape=shape)

    def identity(self, row: int) -> str:
        """The content ID of one example."""
        return self._ids[row * _ID_BYTES : (row + 1) * _ID_BYTES].hex()

    def _flush(self) -> None:
        if self._pending:
            signatures = np.stack(self._pending)
            self._stream.write(signatures.tobytes())
            self._keys.append(band_keys(signatures, *self._bands))
            self._pending.clear()
