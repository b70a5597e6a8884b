from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from storm_core.examples.order import write_in_order
from storm_core.records import SCHEMA, Message, make_example, read_columns, read_examples, write_examples

ROWS = 60


def write_backwards(directory: Path) -> tuple[Counter[str], Path]:
    """Write sixty examples of two sources, the last one first, and leave out the first ten."""
    messages = [
        (Message(role="user", content=f"q{n}"), Message(role="assistant", content="a" * (n + 1))) for n in range(ROWS)
    ]
    spool, path, scratch = directory / "spool.parquet", directory / "out.parquet", directory / "scratch"
    write_examples(spool, (make_example("even" if n % 2 == 0 else "odd", messages[n]) for n in range(ROWS)))
    scratch.mkdir()
    place_M = np.arange(ROWS)[::-1].copy()
    file_M = np.where(np.arange(ROWS) < 10, -1, 0)
    written = write_in_order(read_columns(spool, SCHEMA.names, 7), [path], file_M, place_M, scratch)
    assert list(scratch.iterdir()) == []
    return written, path


def test_rows_are_counted_by_source_as_they_are_written(tmp_path: Path) -> None:
    written, path = write_backwards(tmp_path)
    assert written == Counter(even=25, odd=25) == Counter(one.source for one in read_examples(path))


@pytest.mark.parametrize("part_bytes", [1, 3000])
def test_partition_of_too_many_bytes_is_sorted_in_smaller_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part_bytes: int
) -> None:
    monkeypatch.setattr("storm_core.examples.order._PARTITION_BYTES", part_bytes)
    written, path = write_backwards(tmp_path)
    assert written.total() == 50
    assert [one.messages[0].content for one in read_examples(path)] == [f"q{n}" for n in range(ROWS - 1, 9, -1)]
    groups = pq.ParquetFile(path).metadata.num_row_groups
    assert groups == 50 if part_bytes == 1 else 1 < groups < 50
