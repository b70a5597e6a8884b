"""Deal a Parquet file of examples out to shards, a batch at a time."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storm_core.records import SCHEMA, read_examples, write_examples

_BATCH_ROWS = 1000


def write_shards(directory: Path, spool: Path, shard_of: Mapping[str, int], scratch: Path) -> list[int]:
    """Write the examples of `spool` that `shard_of` names to `shard-00000.parquet` ... and return the shard numbers.

    Examples of a shard are sorted by content ID. Memory holds one shard at a time; `scratch` holds unsorted shards.
    """
    numbers = sorted(set(shard_of.values()))
    _deal(spool, shard_of, {number: scratch / _name(number) for number in numbers})
    for number in numbers:
        part = scratch / _name(number)
        write_examples(directory / _name(number), sorted(read_examples(part), key=lambda example: example.id))
        part.unlink()
    return numbers


def _deal(spool: Path, shard_of: Mapping[str, int], parts: Mapping[int, Path]) -> None:
    with ExitStack() as stack:
        writers = {number: stack.enter_context(pq.ParquetWriter(path, SCHEMA)) for number, path in parts.items()}
        parquet = stack.enter_context(pq.ParquetFile(spool))
        for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=SCHEMA.names):
            rows: dict[int, list[int]] = {}
            for row, identity in enumerate(batch.column("id").to_pylist()):
                if identity in shard_of:
                    rows.setdefault(shard_of[identity], []).append(row)
            for number, taken in rows.items():
                writers[number].write_batch(batch.take(pa.array(taken)))


def _name(number: int) -> str:
    return f"shard-{number:05d}.parquet"
