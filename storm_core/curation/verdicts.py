"""A verdict: what the judge said of one example under one rubric; and its Parquet form."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.parquet_batches import read_batches

FILE_NAME = "verdicts.parquet"
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("rubric", pa.string()),
        ("rubric_hash", pa.string()),
        ("judge_digest", pa.string()),
        ("labels", pa.list_(pa.string())),
        ("values", pa.list_(pa.float64())),
        ("probabilities", pa.list_(pa.float64())),
        ("label", pa.string()),
        ("expected_value", pa.float64()),
        ("label_mass", pa.float64()),
        ("unseen_mass", pa.float64()),
        ("tokens", pa.int64()),
        ("truncated", pa.bool_()),
    ]
)
# The label of an example about which the judge said none of the labels that its engine could see.
NO_ANSWER = ""
_ROWS_PER_BATCH = 10_000
# Options of `score` that change the numbers and show in no column.
_SETTINGS = ("engine", "max_length", "dtype", "endpoint_prompts")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The judge's answer to one rubric about one example.

    Attributes:
        id: of the example.
        source: of the example.
        rubric: name of the rubric.
        rubric_hash: SHA-256, in hex, of the rubric and the framing.
        judge_digest: digest of the judge's model artifact.
        labels: the allowed answers.
        values: what each label counts.
        probabilities: of each label; they sum to 1, or are all 0 where there was no answer.
        label: the most probable label, the first of equals; `NO_ANSWER` where the judge gave none that could be seen.
        expected_value: sum of each label's value times its probability.
        label_mass: probability of all the labels together among the whole vocabulary, 0 to 1.
        tokens: of the example, before any cut.
        truncated: whether the judge did not read its middle.
        unseen_mass: probability, at most, of labels that the engine did not report and that count as 0 above.
    """

    id: str
    source: str
    rubric: str
    rubric_hash: str
    judge_digest: str
    labels: tuple[str, ...]
    values: tuple[float, ...]
    probabilities: tuple[float, ...]
    label: str
    expected_value: float
    label_mass: float
    tokens: int
    truncated: bool
    unseen_mass: float = 0.0


class VerdictWriter:
    """Writes verdicts to one Parquet file, a row group at each call of `write`."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA)

    def __enter__(self) -> "VerdictWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Append these verdicts."""
        rows = list(verdicts)
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


def refuse_mixed(verdicts: Iterable[Artifact]) -> None:
    """Refuse verdicts that are not comparable, as the judge was asked in different ways.

    Raises:
        InputError: says in which option of `score` they differ.
    """
    given = [artifact.manifest.producer["config"] for artifact in verdicts if artifact.manifest.producer]
    for name in _SETTINGS:
        values = sorted({str(config.get(name)) for config in given})
        if len(values) > 1:
            raise InputError(f"the verdicts were made with {name} {' and '.join(values)}; score all shards alike")
