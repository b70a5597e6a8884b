"""Deal a Parquet file of examples out to shards, sorted by content ID, a batch at a time.

M: examples in the spool. K: examples that are kept.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storm_core.records import ROWS_PER_GROUP, SCHEMA

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows that are sorted in memory at once, unless that would take more open files than a process is given.
_PART_ROWS = 16_384
_MOST_PARTS = 256
_BATCH_ROWS = 4096
_RANK = "rank"


def write_shards(
    directory: Path, spool: Path, kept: "NDArray[np.int64]", ids_M4: "NDArray[np.uint64]", shards: int, scratch: Path
) -> list[int]:
    """Write the rows `kept` of `spool` to `shard-00000.parquet` ... and return the shard numbers.

    Examples are dealt round in the order of their content IDs, so that shards differ by one example at most and hold
    theirs sorted. `scratch` holds unsorted parts, of which one at a time is in memory.
    """
    rank_M = rank_by_id(kept, ids_M4)
    shards = min(shards, len(kept))
    rows_per_part = max(_PART_ROWS, -(-len(kept) // max(_MOST_PARTS, shards)))
    _deal(spool, rank_M, shards, rows_per_part, scratch)
    for shard in range(shards):
        _join(directory / f"shard-{shard:05d}.parquet", _parts(scratch, shard))
    return list(range(shards))


def rank_by_id(kept: "NDArray[np.int64]", ids_M4: "NDArray[np.uint64]") -> "NDArray[np.int64]":
    """Of every row its position among the kept ones in the order of their content IDs; -1 where it is not kept."""
    rank_M = np.full(len(ids_M4), -1, dtype=np.int64)
    rank_M[kept[np.lexsort(ids_M4[kept].T[::-1])]] = np.arange(len(kept))
    return rank_M


def _deal(spool: Path, rank_M: "NDArray[np.int64]", shards: int, rows_per_part: int, scratch: Path) -> None:
    schema = SCHEMA.append(pa.field(_RANK, pa.int64()))
    writers: dict[str, pa.ipc.RecordBatchStreamWriter] = {}
    with ExitStack() as stack, pq.ParquetFile(spool) as parquet:
        start = 0
        for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=SCHEMA.names):
            ranks = rank_M[start : start + batch.num_rows]
            start += batch.num_rows
            ranked = pa.RecordBatch.from_arrays([*batch.columns, pa.array(ranks)], schema=schema)
            for name, rows in _rows_by_part(ranks, shards, rows_per_part):
                if name not in writers:
                    writers[name] = stack.enter_context(pa.ipc.new_stream(scratch / name, schema))
                writers[name].write_batch(ranked.take(pa.array(rows)))


def _rows_by_part(
    ranks: "NDArray[np.int64]", shards: int, rows_per_part: int
) -> Iterator[tuple[str, "NDArray[np.int64]"]]:
    """The rows of one batch that go to each part: name of the part, row numbers."""
    rows = np.flatnonzero(ranks >= 0)
    shard, part = ranks[rows] % shards, ranks[rows] // shards // rows_per_part
    for pair in np.unique(np.stack([shard, part]), axis=1).T:
        yield _part_name(*pair), rows[(shard == pair[0]) & (part == pair[1])]


def _parts(scratch: Path, shard: int) -> list[Path]:
    return sorted(scratch.glob(f"part-{shard:05d}-*"))


def _join(path: Path, parts: list[Path]) -> None:
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for part in parts:
            with pa.OSFile(str(part)) as stream, pa.ipc.open_stream(stream) as reader:
                table = reader.read_all().sort_by(_RANK).select(SCHEMA.names)
            writer.write_table(table.cast(SCHEMA), row_group_size=ROWS_PER_GROUP)
            part.unlink()


def _part_name(shard: int, part: int) -> str:
    return f"part-{shard:05d}-{part:05d}"
