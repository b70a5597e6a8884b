"""Rows of Parquet and Arrow files, streamed a batch at a time; only the columns that are asked for are read."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storm_core.errors import InputError, first_line
from storm_core.sources.files.arrow_structure import check_structure
from storm_core.sources.files.rows import MAX_ROW_BYTES, RawRow, Rejected, too_large

SUFFIXES = (".parquet", ".arrow")
_BATCH_ROWS = 256
# Column chunks are read piece by piece: a row group may be as large as its file.
_BUFFER_BYTES = 1 << 20
_FILE_FORMAT_MAGIC = b"ARROW1"
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
# What reading raises; the last where the name of a column is no text any more.
_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)


def read(name: str, file: Path, columns: Sequence[str]) -> Iterator[RawRow | Rejected]:
    """The rows of one file, numbered from 1.

    A Parquet row group that is damaged is counted: those of its rows that were not read yet are rejected one by one.

    Raises:
        InputError: the file as a whole cannot be read: it is not of its kind, an Arrow file is damaged, or its end is
            missing, which is where Parquet keeps its table of contents and an Arrow stream says that it is whole.
    """
    read_batches = _parquet_batches if name.endswith(".parquet") else _arrow_batches
    number = 0
    for batch in read_batches(name, file, columns):
        if isinstance(batch, pa.RecordBatch):
            yield from _rows(name, number, batch)
            number += batch.num_rows
        else:
            reason, count = batch
            yield from (Rejected(place=f"{name}:{number + row}", reason=reason) for row in range(1, count + 1))
            number += count


def _parquet_batches(name: str, file: Path, columns: Sequence[str]) -> Iterator["pa.RecordBatch | tuple[str, int]"]:
    """The batches of the file; in place of what is damaged, the reason and how many rows it held."""
    try:
        parquet = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        known = _known(name, parquet.schema_arrow.names, columns)
    except _DAMAGE as error:
        raise InputError(f"{name} is not a readable Parquet file: {first_line(error)}; fetch it again") from error
    with parquet:
        for group in range(parquet.num_row_groups):
            left = parquet.metadata.row_group(group).num_rows
            try:
                batches = parquet.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group], columns=known)
                for batch in batches:
                    left -= batch.num_rows
                    yield batch
            except _DAMAGE as error:
                yield f"row group {group} is damaged: {first_line(error)}", left


def _known(name: str, there: Sequence[str], columns: Sequence[str]) -> list[str]:
    known = [column for column in columns if column in there]
    repeated = next((column for column in known if list(there).count(column) > 1), None)
    if repeated:
        raise InputError(f"{name} has two columns named {repeated!r}; leave one out")
    return known


def _arrow_batches(name: str, file: Path, columns: Sequence[str]) -> Iterator["pa.RecordBatch"]:
    """The batches of an Arrow file in the stream format, as `datasets` saves them, or in the file format."""
    try:
        with pa.OSFile(str(file)) as stream:
            start = stream.read(len(_FILE_FORMAT_MAGIC))
            _check_end(name, stream, start)
            stream.seek(0)
            reader = pa.ipc.open_file(stream) if start == _FILE_FORMAT_MAGIC else pa.ipc.open_stream(stream)
            known = _known(name, reader.schema.names, columns)
            batches = (
                (reader.get_batch(index) for index in range(reader.num_record_batches))
                if start == _FILE_FORMAT_MAGIC
                else reader
            )
            for batch in batches:
                chosen = batch.select(known)
                check_structure(chosen)
                for offset in range(0, chosen.num_rows, _BATCH_ROWS):
                    yield chosen.slice(offset, _BATCH_ROWS)
    except _DAMAGE as error:
        raise InputError(f"{name} is not a readable Arrow file: {first_line(error)}; fetch it again") from error


def _check_end(name: str, stream: "pa.NativeFile", start: bytes) -> None:
    # Without it, a stream that was cut between two batches would pass for a shorter one.
    end = _FILE_FORMAT_MAGIC if start == _FILE_FORMAT_MAGIC else _END_OF_STREAM
    size = stream.size()
    stream.seek(max(0, size - len(end)))
    if stream.read(len(end)) != end:
        raise InputError(f"{name} is not a whole Arrow file: its end is missing; fetch it again")


def _rows(name: str, before: int, batch: "pa.RecordBatch") -> Iterator[RawRow | Rejected]:
    if batch.nbytes > MAX_ROW_BYTES:
        yield from _rows_one_by_one(name, before, batch)
        return
    try:
        rows = batch.to_pylist() if batch.num_columns else [{}] * batch.num_rows
    except UnicodeDecodeError:
        yield from _rows_one_by_one(name, before, batch)
        return
    for row, values in enumerate(rows, start=before + 1):
        yield RawRow(place=f"{name}:{row}", values=_without_nulls(values))


def _rows_one_by_one(name: str, before: int, batch: "pa.RecordBatch") -> Iterator[RawRow | Rejected]:
    """The rows of a batch with one that is too large, or holds text that is not UTF-8, which spoils only itself."""
    for number in range(batch.num_rows):
        place, row = f"{name}:{before + number + 1}", batch.slice(number, 1)
        if _bytes_of(row) > MAX_ROW_BYTES:
            yield too_large(place)
            continue
        try:
            yield RawRow(place=place, values=_without_nulls(row.to_pylist()[0]))
        except UnicodeDecodeError as error:
            yield Rejected(place=place, reason=f"not UTF-8: byte {error.object[error.start]:#04x} at {error.start}")


def _bytes_of(row: "pa.RecordBatch") -> int:
    """Of a column that is a dictionary, only the entry that the row has."""
    columns = (column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in row.columns)
    return sum(column.nbytes for column in columns)


def _without_nulls(value: Any) -> Any:
    """The value without the empty fields that a column gives every record which lacks what another one has."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
