"""Verdicts in Parquet files, written and read in bounded memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storm_core.parquet_batches import read_batches
from storm_core.verdicts.schema import SCHEMA, Verdict

_ROWS_PER_BATCH = 10_000


class VerdictWriter:
    """Writes verdicts to one Parquet file, in bounded memory."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA)

    def __enter__(self) -> "VerdictWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Append these verdicts, a row group for every so many."""
        rest = iter(verdicts)
        while rows := list(islice(rest, _ROWS_PER_BATCH)):
            # By columns: a list of rows would be taken apart value by value, several times slower.
            columns = [pa.array([getattr(row, field.name) for row in rows], field.type) for field in SCHEMA]
            self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))


def write_verdicts(path: Path, verdicts: Iterable[Verdict]) -> None:
    """Write verdicts to one Parquet file."""
    with VerdictWriter(path) as writer:
        writer.write(verdicts)


def read_verdicts(path: Path, wanted: Callable[["pa.RecordBatch"], "pa.Array"] | None = None) -> Iterator[Verdict]:
    """The verdicts of one Parquet file, streamed; of each batch those alone for which `wanted`, if given, is true.

    Raises:
        InputError: the file is not Parquet with the columns of `SCHEMA`.
    """
    for batch in read_verdict_columns(path, SCHEMA.names, _ROWS_PER_BATCH):
        yield from map(verdict_from_row, (batch.filter(wanted(batch)) if wanted else batch).to_pylist())


def read_verdict_columns(path: Path, names: Sequence[str], rows: int) -> Iterator["pa.RecordBatch"]:
    """Columns of one Parquet file of verdicts, streamed in batches of at most so many `rows`.

    Raises:
        InputError: the file is not Parquet with these columns of `SCHEMA`.
    """
    schema = pa.schema([SCHEMA.field(name) for name in names])
    return read_batches(path, schema, rows, content="verdicts", remedy="score again with this version")


def verdict_from_row(row: Mapping[str, Any]) -> Verdict:
    """The verdict in a row of a file with all columns of `SCHEMA`."""
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return Verdict(**fields)
