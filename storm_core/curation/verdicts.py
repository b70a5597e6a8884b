"""A verdict: what the judge said of one example under one rubric; and its Parquet form."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storm_core.errors import InputError

FILE_NAME = "verdicts.parquet"
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("rubric", pa.string()),
        ("rubric_hash", pa.string()),
        ("judge_digest", pa.string()),
        ("labels", pa.list_(pa.string())),
        ("probabilities", pa.list_(pa.float64())),
        ("label", pa.string()),
        ("expected_value", pa.float64()),
        ("label_mass", pa.float64()),
        ("tokens", pa.int64()),
        ("truncated", pa.bool_()),
    ]
)
_ROWS_PER_BATCH = 10_000


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
        probabilities: of each label; they sum to 1.
        label: the most probable label, the first of equals.
        expected_value: sum of each label's value times its probability.
        label_mass: probability of all the labels together among the whole vocabulary, 0 to 1.
        tokens: of the example, before any cut.
        truncated: whether the judge did not read its middle.
    """

    id: str
    source: str
    rubric: str
    rubric_hash: str
    judge_digest: str
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    label: str
    expected_value: float
    label_mass: float
    tokens: int
    truncated: bool


def write_verdicts(path: Path, verdicts: Iterable[Verdict]) -> None:
    """Write verdicts to one Parquet file."""
    pq.write_table(pa.Table.from_pylist([asdict(verdict) for verdict in verdicts], schema=SCHEMA), path)


def read_verdicts(path: Path) -> Iterator[Verdict]:
    """The verdicts of one Parquet file, streamed.

    Raises:
        InputError: the file is not Parquet with the columns of `SCHEMA`.
    """
    try:
        with pq.ParquetFile(path) as parquet:
            for batch in parquet.iter_batches(batch_size=_ROWS_PER_BATCH, columns=SCHEMA.names):
                for row in batch.to_pylist():
                    row["labels"] = tuple(row["labels"])
                    row["probabilities"] = tuple(row["probabilities"])
                    yield Verdict(**row)
    except (pa.ArrowInvalid, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a Parquet file of verdicts: {str(error).splitlines()[0]}") from error
