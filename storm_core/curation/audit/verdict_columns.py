"""Verdicts as arrays, read a batch at a time and checked against the judge and the rubrics that are audited.

Shapes. N: verdicts of a batch, K: labels.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storm_core.curation.audit.sampling import keys_of
from storm_core.curation.audit.tallies import NO_LABEL, Columns
from storm_core.curation.rubrics import Rubric
from storm_core.curation.verdicts import NO_ANSWER, SCHEMA, Verdict, read_verdict_columns, verdict_from_row
from storm_core.errors import InputError

_ROWS_PER_BATCH = 50_000
_SHORT = 12


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What every verdict must say of itself.

    Attributes:
        judge_digest: of the judge that is audited.
        rubrics: that it is asked by, by name.
        max_length: most tokens of an example that it reads.
    """

    judge_digest: str
    rubrics: Mapping[str, Rubric]
    max_length: int


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Verdicts of one rubric, as arrays and as rows."""

    rubric: Rubric
    sources: "np.typing.NDArray[np.object_]"
    columns: Columns
    table: pa.Table

    def verdict(self, row: int) -> Verdict:
        """The verdict in this row."""
        (fields,) = self.table.slice(row, 1).to_pylist()
        return verdict_from_row(fields)


def read_batches(path: Path, expected: Expected, seed: int) -> Iterator[Batch]:
    """The verdicts of one Parquet file, batches of one rubric each.

    Raises:
        InputError: the file does not hold verdicts, or those of another judge or of other rubrics.
    """
    for read in read_verdict_columns(path, SCHEMA.names, _ROWS_PER_BATCH):
        table = pa.Table.from_batches([read])
        _check(path, table, expected)
        for name in table["rubric"].unique().to_pylist():
            yield _batch(table.filter(pc.equal(table["rubric"], name)), expected, name, seed)


def _batch(table: pa.Table, expected: Expected, name: str, seed: int) -> Batch:
    rubric = expected.rubrics[name]
    places = pc.index_in(table["label"], value_set=pa.array(rubric.labels)).fill_null(NO_LABEL)
    probabilities_NK = _numbers(pc.list_flatten(table["probabilities"])).reshape(-1, len(rubric.labels))
    columns = Columns(
        keys=keys_of(table["id"].to_pylist(), seed),
        places_N=places.to_numpy().astype(np.int64),
        probabilities_NK=probabilities_NK,
        expected_N=_numbers(table["expected_value"]),
        label_mass_N=_numbers(table["label_mass"]),
        unseen_mass_N=_numbers(table["unseen_mass"]),
        tokens_N=_numbers(table["tokens"]),
        truncated_N=table["truncated"].to_numpy(),
    )
    return Batch(rubric=rubric, sources=table["source"].to_numpy(), columns=columns, table=table)


def _numbers(column: "pa.ChunkedArray") -> "np.typing.NDArray[np.float64]":
    numbers: np.typing.NDArray[np.float64] = column.to_numpy().astype(np.float64)
    return numbers


def _check(path: Path, table: pa.Table, expected: Expected) -> None:
    for digest in table["judge_digest"].unique().to_pylist():
        if digest != expected.judge_digest:
            raise InputError(
                f"{path} has verdicts of the judge {digest[:_SHORT]}, but the judge given is "
                f"{expected.judge_digest[:_SHORT]}; give the model, engine and endpoint that score was given"
            )
    for name in table["rubric"].unique().to_pylist():
        rubric = expected.rubrics.get(name)
        if rubric is None:
            raise InputError(f"{path} has verdicts on the unknown rubric {name!r}; score again")
        rows = table.filter(pc.equal(table["rubric"], name))
        for digest in rows["rubric_hash"].unique().to_pylist():
            if digest != rubric.sha256:
                raise InputError(
                    f"{path} has verdicts on {name} in the wording {digest[:_SHORT]}, but that of the rubrics given is "
                    f"{rubric.sha256[:_SHORT]}; give the rubrics that score was given"
                )
        _check_labels(path, rows, rubric)
    if not pc.all(pc.equal(table["truncated"], pc.greater(table["tokens"], expected.max_length))).as_py():
        raise InputError(
            f"{path} has verdicts on examples that were cut elsewhere than at max_length {expected.max_length}; give "
            "the max_length that score was given"
        )


def _check_labels(path: Path, rows: pa.Table, rubric: Rubric) -> None:
    known = {*rubric.labels, NO_ANSWER}
    strange = [label for label in rows["label"].unique().to_pylist() if label not in known]
    lengths = pc.unique(pc.list_value_length(rows["probabilities"])).to_pylist()
    if strange or lengths != [len(rubric.labels)]:
        raise InputError(f"{path} has verdicts on {rubric.name} whose labels are not the rubric's; score again")
