"""Parquet files with flipped bytes: read, or refused by name, but never anything else."""

import random

import pyarrow as pa
import pytest

from storm_core.errors import InputError
from storm_core.records import count_examples, read_examples, write_examples
from storm_core.verdicts.files import read_verdict_columns, read_verdicts, write_verdicts
from storm_core.verdicts.schema import SCHEMA


def read_columns_of_verdicts(path):
    for batch in read_verdict_columns(path, SCHEMA.names, 100):
        yield from batch.to_pylist()


def count(path):
    return [count_examples(path)]


@pytest.mark.parametrize("read", [read_examples, count, read_verdicts, read_columns_of_verdicts])
def test_file_with_damage_in_it_is_refused_by_name(tmp_path, examples, make_verdict, read):
    path = tmp_path / "damaged.parquet"
    if read in (read_examples, count):
        write_examples(path, examples)
    else:
        write_verdicts(path, [make_verdict(f"{number:064x}", "difficulty", "hard") for number in range(300)])
    whole = path.read_bytes()
    chance = random.Random(1)  # noqa: S311 (not secret)
    refused = 0
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(4):
            # The last bytes are the footer, which is all that counting reads.
            content[chance.randrange(-1000 if read is count else 4 - len(content), -8)] = chance.randrange(256)
        path.write_bytes(content)
        try:
            list(read(path))
        except InputError as error:
            assert "damaged.parquet" in str(error)
            refused += 1
        except (ValueError, MemoryError, pa.ArrowException) as error:
            pytest.fail(f"{type(error).__name__}: {error}")
    assert refused > 20
