"""The table of verdicts as arrays: the one reader of verdict files, which checks them.

Shapes. N: verdicts of a batch, K: labels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storm_core.errors import InputError
from storm_core.verdicts.files import read_verdict_columns, verdict_from_row
from storm_core.verdicts.schema import DIFFICULTY, EDUCATIONAL_VALUE, NO_ANSWER, SCHEMA, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

RUBRICS = (EDUCATIONAL_VALUE, DIFFICULTY)
# In the place of a label, where the judge gave none.
NO_ANSWER_PLACE = -1
_ROWS_PER_BATCH = 50_000
# What every verdict is checked by.
_CHECKED = ("rubric", "rubric_hash", "judge_digest", "labels", "values", "label")


@dataclass(frozen=True, kw_only=True)
class Wording:
    """What all verdicts on one rubric share.

    Attributes:
        sha256: of the rubric and the framing.
        labels: the allowed answers.
        values: what each label counts.
    """

    rubric: str
    sha256: str
    labels: tuple[str, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class VerdictBatch:
    """Verdicts on one rubric. Each column is an array, made when it is asked for."""

    wording: Wording
    judge_digest: str
    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, rows: "NDArray[np.int64]") -> "VerdictBatch":
        return VerdictBatch(self.wording, self.judge_digest, self.table.take(rows))

    @cached_property
    def place_N(self) -> "NDArray[np.int64]":  # noqa: N802 (shape suffix)
        """Position of each label among those of the wording, or `NO_ANSWER_PLACE`."""
        places = pc.index_in(self.table["label"], value_set=pa.array(self.wording.labels)).fill_null(NO_ANSWER_PLACE)
        return np.asarray(places.to_numpy().astype(np.int64))

    @cached_property
    def answered_N(self) -> "NDArray[np.bool_]":  # noqa: N802
        """Whether the judge gave a label."""
        return np.asarray(self.place_N != NO_ANSWER_PLACE)

    @cached_property
    def probability_NK(self) -> "NDArray[np.float64]":  # noqa: N802
        """Probability of each label."""
        return _numbers(pc.list_flatten(self.table["probabilities"])).reshape(-1, len(self.wording.labels))

    def numbers(self, column: str) -> "NDArray[np.float64]":
        """A column of numbers or of true and false, (N,)."""
        return _numbers(self.table[column])

    def texts(self, column: str) -> "NDArray[np.object_]":
        """A column of texts, (N,)."""
        return np.asarray(self.table[column].to_numpy())

    def verdict(self, row: int) -> Verdict:
        """The verdict in this row; all columns must have been read."""
        (fields,) = self.table.slice(row, 1).to_pylist()
        return verdict_from_row(fields)


class VerdictReader:
    """Reads verdict files, one after the other: all must be one judge's, asked by one wording of each rubric.

    Attributes:
        wordings: of the rubrics that there were verdicts on so far, by name.
        judge_digest: of the judge; None before the first verdict.
    """

    def __init__(self, columns: Sequence[str] = SCHEMA.names) -> None:
        """Reads these `columns` and those that are checked."""
        self.wordings: dict[str, Wording] = {}
        self.judge_digest: str | None = None
        self._columns = [name for name in SCHEMA.names if name in (*columns, *_CHECKED)]

    def read(self, path: Path) -> Iterator[VerdictBatch]:
        """The verdicts of one Parquet file, in batches of one rubric each.

        Raises:
            InputError: the file does not hold verdicts, or holds some of another judge, rubric, wording, with labels
                that are not the rubric's, or with numbers that are not finite.
        """
        for read in read_verdict_columns(path, self._columns, _ROWS_PER_BATCH):
            table = pa.Table.from_batches([read])
            for name in table["rubric"].unique().to_pylist():
                yield self._batch(path, name, table.filter(pc.equal(table["rubric"], name)))

    def _batch(self, path: Path, name: str, table: pa.Table) -> VerdictBatch:
        if name not in RUBRICS:
            raise InputError(f"{path} holds verdicts on the unknown rubric {name!r}; score again")
        wording = self.wordings.setdefault(name, _wording_of(name, table))
        self.judge_digest = self.judge_digest or table["judge_digest"][0].as_py()
        _refuse_others(path, "judge", table["judge_digest"], self.judge_digest)
        _refuse_others(path, f"wording of {name}", table["rubric_hash"], wording.sha256)
        _check_labels(path, table, wording)
        _check_numbers(path, table)
        return VerdictBatch(wording, self.judge_digest, table)


def _wording_of(name: str, table: pa.Table) -> Wording:
    first: dict[str, Any] = {column: table[column][0].as_py() for column in ("rubric_hash", "labels", "values")}
    return Wording(
        rubric=name, sha256=first["rubric_hash"], labels=tuple(first["labels"]), values=tuple(first["values"])
    )


def _refuse_others(path: Path, what: str, column: "pa.ChunkedArray", expected: str) -> None:
    if any(found != expected for found in column.unique().to_pylist()):
        raise InputError(
            f"{path} holds verdicts of another {what} than those before; score every shard in the same way"
        )


def _check_labels(path: Path, table: pa.Table, wording: Wording) -> None:
    """The labels of a wording are the same in every row, and each answer is one of them or none."""
    count = len(wording.labels)
    flat = pc.list_flatten(table["labels"])
    same = len(flat) == count * table.num_rows and all(
        flat.take(pa.array(range(place, len(flat), count))).unique().to_pylist() == [label]
        for place, label in enumerate(wording.labels)
    )
    if not same:
        raise InputError(f"{path} holds verdicts on {wording.rubric} with different labels; score again")
    strange = set(table["label"].unique().to_pylist()) - {*wording.labels, NO_ANSWER}
    if strange:
        known = ", ".join(wording.labels)
        raise InputError(f"{path} holds the label {min(strange)!r}, not one of {known}; score again")
    if "probabilities" in table.column_names and len(pc.list_flatten(table["probabilities"])) != len(flat):
        raise InputError(f"{path} holds verdicts on {wording.rubric} without a probability of each label; score again")


def _check_numbers(path: Path, table: pa.Table) -> None:
    for field in table.schema:
        column = table[field.name]
        numbers = pc.list_flatten(column) if pa.types.is_list(field.type) else column
        if pa.types.is_floating(numbers.type) and not np.isfinite(_numbers(numbers)).all():
            raise InputError(f"{path} holds a verdict whose {field.name} is not finite; score again")


def _numbers(column: "pa.ChunkedArray") -> "NDArray[np.float64]":
    return np.asarray(column.to_numpy().astype(np.float64))
