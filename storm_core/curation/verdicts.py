"""A verdict: what the judge said of one example under one rubric; and its Parquet form."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storm_core.artifacts import Artifact
from storm_core.errors import InputError
from storm_core.parquet_batches import read_batches

FILE_NAME = "verdicts.parquet"
SETTINGS_NAME = "settings.json"
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


def write_settings(directory: Path, settings: Mapping[str, Any]) -> None:
    """Write beside the verdicts how the judge was asked, as JSON values."""
    (directory / SETTINGS_NAME).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def refuse_mixed(verdicts: Iterable[Artifact], again: Mapping[str, Any] | None = None) -> None:
    """Refuse verdicts that are not comparable, as the judge was asked in different ways.

    Args:
        verdicts: of all shards.
        again: the settings with which the judge is to be asked again, if it is.

    Raises:
        InputError: says which setting differs.
    """
    given = [_settings(artifact) for artifact in verdicts]
    for name in sorted({name for settings in given for name in settings}):
        values = sorted({str(settings.get(name)) for settings in given})
        if len(values) > 1:
            raise InputError(f"the verdicts were made with {name} {' and '.join(values)}; score all shards alike")
        if again is not None and str(again.get(name)) != values[0]:
            raise InputError(
                f"the verdicts were made with {name} {values[0]}, but the judge would be asked again with "
                f"{again.get(name)}; give the {name} that score was given"
            )


def _settings(artifact: Artifact) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = json.loads(artifact.file(SETTINGS_NAME).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{artifact.path / SETTINGS_NAME} is not JSON: {error}; score again") from error
    return settings
