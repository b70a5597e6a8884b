"""Write examples to files in any order, however many they are: dealt out to partitions on disk, each then sorted.

M: examples that are read. K: examples that are written.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storm_core.records import ROWS_PER_GROUP, SCHEMA

if TYPE_CHECKING:
    from numpy.typing import NDArray

# How many rows to read at once.
BATCH_ROWS = 4096
# Rows that are sorted in memory at once, unless that would take more open files than a process is given.
_PARTITION_ROWS = 16_384
_MOST_PARTITIONS = 256
# One of more bytes is dealt out once more: to sort one takes a multiple of its size, and text columns end at 2 GiB.
_PARTITION_BYTES = 256 << 20
_PLACE = "place"


def write_in_order(
    batches: Iterable["pa.RecordBatch"],
    paths: Sequence[Path],
    file_M: "NDArray[np.int64]",
    place_M: "NDArray[np.int64]",
    scratch: Path,
) -> Counter[str]:
    """Write rows to the Parquet files `paths`, one that gets none too; returns how many of each source were written.

    Args:
        batches: the examples, with the columns of `SCHEMA`, M rows in all.
        paths: of the files.
        file_M: for each row the position of its file in `paths`, or -1 where it is not written.
        place_M: its place in that file; 0, 1, 2 and so on, each once.
        scratch: an empty directory for unsorted partitions, of which one at a time is in memory.
    """
    kept = int((file_M >= 0).sum())
    rows_per_partition = max(_PARTITION_ROWS, -(-kept // max(_MOST_PARTITIONS, len(paths))))
    _deal(batches, file_M, place_M, rows_per_partition, scratch)
    written: Counter[str] = Counter()
    for file, path in enumerate(paths):
        written += _join(path, sorted(scratch.glob(f"partition-{file:05d}-*")))
    return written


def _deal(
    batches: Iterable["pa.RecordBatch"],
    file_M: "NDArray[np.int64]",
    place_M: "NDArray[np.int64]",
    rows_per_partition: int,
    scratch: Path,
) -> None:
    schema = SCHEMA.append(pa.field(_PLACE, pa.int64()))
    writers: dict[str, pa.ipc.RecordBatchStreamWriter] = {}
    with ExitStack() as stack:
        start = 0
        for batch in batches:
            rows = slice(start, start + batch.num_rows)
            start += batch.num_rows
            placed = pa.RecordBatch.from_arrays([*batch.columns, pa.array(place_M[rows])], schema=schema)
            for name, chosen in _rows_by_partition(file_M[rows], place_M[rows] // rows_per_partition):
                if name not in writers:
                    writers[name] = stack.enter_context(pa.ipc.new_stream(scratch / name, schema))
                writers[name].write_batch(placed.take(pa.array(chosen)))


def _rows_by_partition(
    file_K: "NDArray[np.int64]", partition_K: "NDArray[np.int64]"
) -> Iterator[tuple[str, "NDArray[np.int64]"]]:
    """The rows of one batch that go to each partition: name of the partition, row numbers."""
    rows = np.flatnonzero(file_K >= 0)
    file, partition = file_K[rows], partition_K[rows]
    for pair in np.unique(np.stack([file, partition]), axis=1).T:
        yield f"partition-{pair[0]:05d}-{pair[1]:05d}", rows[(file == pair[0]) & (partition == pair[1])]


def _join(path: Path, partitions: list[Path]) -> Counter[str]:
    written: Counter[str] = Counter()
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for table in chain.from_iterable(map(_sorted_tables, partitions)):
            writer.write_table(table.cast(SCHEMA), row_group_size=ROWS_PER_GROUP)
            written.update(table.column("source").to_pylist())
    return written


def _sorted_tables(partition: Path) -> Iterator["pa.Table"]:
    """The rows of a partition in order, as one table, or as several where that would be too large; removes it."""
    size = partition.stat().st_size
    if size <= _PARTITION_BYTES or len(place_M := _places(partition)) == 1:
        yield pa.Table.from_batches(_batches(partition, [*SCHEMA.names, _PLACE])).sort_by(_PLACE).select(SCHEMA.names)
    else:
        smaller = partition.with_name(f"{partition.name}-dealt")
        smaller.mkdir()
        pieces = min(-(-size // _PARTITION_BYTES), _MOST_PARTITIONS)
        rows_per_piece = -(-len(place_M) // pieces)
        _deal(
            _batches(partition, SCHEMA.names), np.zeros_like(place_M), place_M - place_M.min(), rows_per_piece, smaller
        )
        yield from chain.from_iterable(map(_sorted_tables, sorted(smaller.iterdir())))
        smaller.rmdir()
    partition.unlink()


def _batches(partition: Path, columns: Sequence[str]) -> Iterator["pa.RecordBatch"]:
    with pa.OSFile(str(partition)) as stream, pa.ipc.open_stream(stream) as reader:
        for batch in reader:
            yield batch.select(columns)


def _places(partition: Path) -> "NDArray[np.int64]":
    places: NDArray[np.int64] = np.concatenate(
        [batch.column(_PLACE).to_numpy() for batch in _batches(partition, [_PLACE])]
    )
    return places
