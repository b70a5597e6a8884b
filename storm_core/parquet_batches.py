"""Reading a Parquet file that a stage wrote: the columns asked for, as their schema says, a batch at a time."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storm_core.errors import InputError


def read_batches(path: Path, schema: pa.Schema, rows: int, *, content: str, remedy: str) -> Iterator[pa.RecordBatch]:
    """The columns of `schema`, in its order and types, in batches of at most so many `rows`.

    Args:
        path: of the file.
        schema: the columns wanted; the file may have more.
        rows: in a batch.
        content: what the file should hold, in the plural.
        remedy: what to do about a file that has not these columns.

    Raises:
        InputError: the file is not Parquet, is damaged, lacks a column, or has another type or an empty field in one.
    """
    with damage_in_words(path, content), pq.ParquetFile(path) as parquet:
        missing = set(schema.names) - set(parquet.schema_arrow.names)
        if missing:
            raise InputError(
                f"{path} is not a Parquet file of {content}: no column {', '.join(sorted(missing))}; {remedy}"
            )
        for read in parquet.iter_batches(batch_size=rows, columns=schema.names):
            batch = read.select(schema.names)
            batch.validate(full=True)  # Parquet says nothing of text that is not UTF-8.
            empty = [name for name in schema.names if _has_nulls(batch.column(name))]
            if empty:
                raise InputError(f"{path} has {content} without {', '.join(empty)}; {remedy}")
            yield batch.cast(schema)


def _has_nulls(column: pa.Array) -> bool:
    """Whether anything is missing in the column, within lists and records too."""
    kind = column.type
    inner: list[pa.Array] = []
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = [column.flatten()]
    elif pa.types.is_struct(kind):
        inner = column.flatten()
    return bool(column.null_count) or any(map(_has_nulls, inner))


@contextlib.contextmanager
def damage_in_words(path: Path, content: str) -> Iterator[None]:
    """Turn what PyArrow raises on a file that is no Parquet, or damaged, into an InputError about the file.

    Args:
        path: of the file.
        content: what it should hold, in the plural.
    """
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError, json.JSONDecodeError, OSError) as error:
        # PyArrow calls a page that does not decompress an OSError too; the machine's own have a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{path} is not a Parquet file of {content}: {str(error).splitlines()[0]}") from error
