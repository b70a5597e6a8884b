"""The examples that were scored, by content ID: some 50 bytes of each in memory, and none of its text.

M: examples. V: IDs that are looked up.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.records import read_columns

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

ID_BYTES = 32
_BATCH_ROWS = 65_536


@dataclass(frozen=True, kw_only=True)
class ExampleIndex:
    """Examples in the order in which they are read.

    Attributes:
        ids_M: content IDs, 32 bytes each.
        order_M: positions in the order of the content IDs.
        source_M: position of each one's source in `sources`.
        sources: names of the sources, sorted.
    """

    ids_M: "NDArray[np.bytes_]"  # noqa: N815 (shape suffix)
    order_M: "NDArray[np.int64]"  # noqa: N815 (shape suffix)
    source_M: "NDArray[np.int32]"  # noqa: N815 (shape suffix)
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids_M)

    def find(self, ids_V: "NDArray[np.bytes_]") -> "NDArray[np.int64]":
        """Position of each of these IDs, (V,); -1 where there is no such example."""
        if not len(self):
            return np.full(len(ids_V), -1, dtype=np.int64)
        places = np.searchsorted(self.ids_M, ids_V, sorter=self.order_M).clip(max=len(self) - 1)
        found: NDArray[np.int64] = self.order_M[places]
        return np.where(self.ids_M[found] == ids_V, found, -1)

    def id(self, position: int) -> str:
        """The content ID at `position`, in hex."""
        return hexadecimal(self.ids_M[position])

    def count(self) -> Counter[str]:
        """How many examples each source has."""
        return count_by_source(self.sources, self.source_M)


def shard_files(examples: Artifact) -> list[Path]:
    """The files of what prepare wrote.

    Raises:
        InputError: there are none.
    """
    names = sorted(entry.path for entry in examples.manifest.files if Path(entry.path).match("shard-*.parquet"))
    if not names:
        raise InputError(f"no shard-*.parquet in {examples.path}; give what prepare wrote")
    return [examples.file(name) for name in names]


def read_index(shards: Iterable[Path]) -> ExampleIndex:
    """The examples in these files.

    Raises:
        InputError: a file does not hold examples, all are empty, an ID is no content ID, or an example is there twice.
    """
    ids: list[NDArray[np.bytes_]] = []
    sources: list[NDArray[np.int32]] = []
    names: dict[str, int] = {}
    for shard in shards:
        for batch in read_columns(shard, ("id", "source"), _BATCH_ROWS):
            ids.append(binary_ids(batch["id"], shard))
            sources.append(_numbered(batch["source"], names))
    if not ids:
        raise InputError("the examples' shards are all empty; prepare them again")
    return make_index(np.concatenate(ids), np.concatenate(sources), tuple(names))


def make_index(ids_M: "NDArray[np.bytes_]", source_M: "NDArray[np.int32]", names: tuple[str, ...]) -> ExampleIndex:
    """An index whose sources are numbered by `names`, in any order.

    Raises:
        InputError: an example is there twice.
    """
    order_M = np.argsort(ids_M, kind="stable")
    repeated = np.flatnonzero(ids_M[order_M[1:]] == ids_M[order_M[:-1]])
    if len(repeated):
        id = hexadecimal(ids_M[order_M[repeated[0]]])
        raise InputError(f"the example {id} is in the shards twice; prepare them again")
    by_name = sorted(range(len(names)), key=names.__getitem__)
    rank = np.argsort(np.array(by_name, dtype=np.int64))
    return ExampleIndex(
        ids_M=ids_M,
        order_M=order_M,
        source_M=rank[source_M].astype(np.int32),
        sources=tuple(names[number] for number in by_name),
    )


def binary_ids(column: "pa.Array", path: Path) -> "NDArray[np.bytes_]":
    """Content IDs in hex as 32 bytes each, (V,).

    Raises:
        InputError: one is not 64 hexadecimal digits.
    """
    texts = column.to_pylist()
    try:
        if any(len(text) != 2 * ID_BYTES for text in texts):
            raise ValueError("of another length")
        content = bytes.fromhex("".join(texts))
        if len(content) != ID_BYTES * len(texts):
            raise ValueError("white space in them")
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} holds IDs that are not content IDs of 64 hexadecimal digits: {error}") from error
    return np.frombuffer(content, dtype=f"S{ID_BYTES}")


def hexadecimal(id: bytes) -> str:
    """An ID in hex; NumPy leaves out the zero bytes at the end of one."""
    return bytes(id).ljust(ID_BYTES, b"\0").hex()


def count_by_source(sources: tuple[str, ...], source_K: "NDArray[np.int32]") -> Counter[str]:
    """How many examples each source has among those whose source numbers are given; none for a source without any."""
    counts = np.bincount(source_K, minlength=len(sources)).tolist()
    return Counter({name: count for name, count in zip(sources, counts, strict=True) if count})


def _numbered(column: "pa.Array", names: dict[str, int]) -> "NDArray[np.int32]":
    """Numbers of the sources in the column, new ones added to `names`."""
    encoded = column.dictionary_encode()
    numbers = [names.setdefault(name, len(names)) for name in encoded.dictionary.to_pylist()]
    numbers_V: NDArray[np.int32] = np.array(numbers, dtype=np.int32)[encoded.indices.to_numpy()]
    return numbers_V
