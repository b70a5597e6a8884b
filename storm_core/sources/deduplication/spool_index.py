"""What the decisions over all examples need to know of each: a few bytes an example, so that millions fit.

M: examples in the spool.
"""

from array import array
from typing import TYPE_CHECKING

import numpy as np

from storm_core.examples.index import ID_BYTES
from storm_core.sources.deduplication.signatures import Signatures

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SpoolIndex:
    """Content IDs and sources of examples, in the order of the spool: 34 bytes an example in memory.

    Attributes:
        signatures: the examples' signatures; None where near duplicates may stay, so that none are needed.
    """

    def __init__(self, signatures: Signatures | None) -> None:
        self.signatures = signatures
        self._ids = bytearray()
        self._sources = array("H")

    def add(self, identity: str, source: int) -> None:
        """Note the next example; its signature is added to `signatures` where there are any."""
        self._ids += bytes.fromhex(identity)
        self._sources.append(source)

    @property
    def ids(self) -> "NDArray[np.bytes_]":
        """Content IDs of 32 bytes, (M,), which sort as their hexadecimal texts do; a copy, made anew at each call."""
        return np.frombuffer(bytes(self._ids), dtype=f"S{ID_BYTES}")

    @property
    def sources(self) -> "NDArray[np.uint16]":
        """Position of each example's source among the sources, (M,); a copy, made anew at each call."""
        return np.frombuffer(self._sources.tobytes(), dtype=np.uint16)

    def identity(self, row: int) -> str:
        """The content ID of one example."""
        return self._ids[row * ID_BYTES : (row + 1) * ID_BYTES].hex()
