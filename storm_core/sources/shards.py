"""Deal a Parquet file of examples out to shards, sorted by content ID, a batch at a time.

M: examples in the spool. K: examples that are kept.
"""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from storm_core.examples.order import BATCH_ROWS, write_in_order
from storm_core.records import SCHEMA, read_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray


def write_shards(
    directory: Path, spool: Path, kept: "NDArray[np.int64]", ids_M: "NDArray[np.bytes_]", shards: int, scratch: Path
) -> tuple[list[int], Counter[str]]:
    """Write the rows `kept` of `spool` to `shard-00000.parquet` ...; returns the shard numbers, and rows by source.

    Examples are dealt round in the order of their content IDs, so that shards differ by one example at most and hold
    theirs sorted. `scratch` holds unsorted partitions, of which one at a time is in memory.
    """
    rank_M = rank_by_id(kept, ids_M)
    shards = min(shards, len(kept))
    shard_M = np.where(rank_M < 0, -1, rank_M % max(1, shards))
    paths = [directory / f"shard-{shard:05d}.parquet" for shard in range(shards)]
    batches = read_columns(spool, SCHEMA.names, BATCH_ROWS)
    written = write_in_order(batches, paths, shard_M, rank_M // max(1, shards), scratch)
    return list(range(shards)), written


def rank_by_id(kept: "NDArray[np.int64]", ids_M: "NDArray[np.bytes_]") -> "NDArray[np.int64]":
    """Of every row its position among the kept ones in the order of their content IDs; -1 where it is not kept."""
    rank_M = np.full(len(ids_M), -1, dtype=np.int64)
    rank_M[kept[np.argsort(ids_M[kept], kind="stable")]] = np.arange(len(kept))
    return rank_M
