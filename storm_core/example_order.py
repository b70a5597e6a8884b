"""Write examples to files in any order, however many they are: dealt out to parts on disk, then sorted part by part.

M: examples that are read. K: examples that are written.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
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
_PART_ROWS = 16_384
_MOST_PARTS = 256
_PLACE = "place"


def write_in_order(
    batches: Iterable["pa.RecordBatch"],
    paths: Sequence[Path],
    file_M: "NDArray[np.int64]",
    place_M: "NDArray[np.int64]",
    scratch: Path,
) -> None:
    """Write rows to the Parquet files `paths`; a file that gets none has none.

    Args:
        batches: the examples, with the columns of `SCHEMA`, M rows in all.
        paths: of the files.
        file_M: for each row the position of its file in `paths`, or -1 where it is not written.
        place_M: its place in that file; 0, 1, 2 and so on, each once.
        scratch: an empty directory for unsorted parts, of which one at a time is in memory.
    """
    kept = int((file_M >= 0).sum())
    rows_per_part = max(_PART_ROWS, -(-kept // max(_MOST_PARTS, len(paths))))
    _deal(batches, file_M, place_M, rows_per_part, scratch)
    for file, path in enumerate(paths):
        _join(path, sorted(scratch.glob(f"part-{file:05d}-*")))


def _deal(
    batches: Iterable["pa.RecordBatch"],
    file_M: "NDArray[np.int64]",
    place_M: "NDArray[np.int64]",
    rows_per_part: int,
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
            for name, chosen in _rows_by_part(file_M[rows], place_M[rows] // rows_per_part):
                if name not in writers:
                    writers[name] = stack.enter_context(pa.ipc.new_stream(scratch / name, schema))
                writers[name].write_batch(placed.take(pa.array(chosen)))


def _rows_by_part(
    file_K: "NDArray[np.int64]", part_K: "NDArray[np.int64]"
) -> Iterator[tuple[str, "NDArray[np.int64]"]]:
    """The rows of one batch that go to each part: name of the part, row numbers."""
    rows = np.flatnonzero(file_K >= 0)
    file, part = file_K[rows], part_K[rows]
    for pair in np.unique(np.stack([file, part]), axis=1).T:
        yield f"part-{pair[0]:05d}-{pair[1]:05d}", rows[(file == pair[0]) & (part == pair[1])]


def _join(path: Path, parts: list[Path]) -> None:
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for part in parts:
            with pa.OSFile(str(part)) as stream, pa.ipc.open_stream(stream) as reader:
                table = reader.read_all().sort_by(_PLACE).select(SCHEMA.names)
            writer.write_table(table.cast(SCHEMA), row_group_size=ROWS_PER_GROUP)
            part.unlink()
