"""The account of every row: how many a source had, and where each dropped one stood and why it was dropped."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from storm_core.sources.files.rows import printable

_REJECTED_COLUMNS = ("source", "place", "reason")
_OVERLAPS_COLUMNS = ("id", "source", "place", "reason", "matched", "matched_place", "evidence")
_ROWS_PER_GROUP = 10_000


class Ledger:
    """Counts of rows read and dropped by source; details of the dropped ones go to files as they come.

    `rejected.parquet` has a row for each dropped row. `overlaps.parquet` says what matched what: of an example that
    repeats another one or an evaluation, what it shares with which item of which evaluation or source.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: Counter[str] = Counter()
        self._dropped: dict[str, Counter[str]] = {}
        self._rejected = _Rows(directory / "rejected.parquet", _REJECTED_COLUMNS)
        self._overlaps = _Rows(directory / "overlaps.parquet", _OVERLAPS_COLUMNS)
        self._overlapping: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rejected.close()
        self._overlaps.close()

    def count_read(self, source: str) -> None:
        """Count one row of `source`, whatever becomes of it."""
        self._read[source] += 1

    def drop(self, source: str, place: str, reason: str, detail: str = "") -> None:
        """Count and keep one dropped row; the ledger counts by `reason`, the detail goes to `rejected.parquet`."""
        self._dropped.setdefault(source, Counter())[reason] += 1
        self._rejected.add(source, place, f"{reason}: {detail}" if detail else reason)

    def overlap(
        self, identity: str, source: str, place: str, reason: str, *, matched: str, matched_place: str, evidence: str
    ) -> None:
        """Keep what the dropped example shares with the place `matched_place` in the evaluation or source `matched`."""
        self._overlapping[matched] += 1
        self._overlaps.add(identity, source, place, reason, matched, matched_place, evidence)

    def accounts(self) -> dict[str, dict[str, Any]]:
        """By source: rows `read`, `kept`, and `dropped` by reason; read is kept plus everything dropped."""
        accounts = {}
        for source, read in self._read.items():
            dropped = self._dropped.get(source, Counter())
            accounts[source] = {"read": read, "kept": read - dropped.total(), "dropped": dict(dropped)}
        return accounts

    def write(self, written: Mapping[str, int], held_out: Mapping[str, Any], origins: Mapping[str, str]) -> None:
        """Write `ledger.json`: the accounts, and what was read of the evaluation data.

        Args:
            written: how many examples of each source the shards hold, counted as they were written.
            held_out: rows read and malformed of each evaluation; the rows that it made drop are added.
            origins: digests of what was read from elsewhere than the data directory, by URI.

        Raises:
            ValueError: the shards do not hold what the accounts say.
        """
        accounts = self.accounts()
        for source, account in accounts.items():
            if account["kept"] != (count := written.get(source, 0)):
                raise ValueError(f"{source}: the shards hold {count} examples, its account says {account}")
        evaluations = {name: {**account, "matched": self._overlapping[name]} for name, account in held_out.items()}
        content = {"held_out": evaluations, "origins": dict(origins), "sources": accounts}
        text = json.dumps(content, indent=2, sort_keys=True)
        (self._directory / "ledger.json").write_text(text + "\n", encoding="utf-8")


class _Rows:
    """A Parquet file of texts that grows by a row at a time."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._schema = pa.schema([(name, pa.string()) for name in columns])
        self._writer = pq.ParquetWriter(path, self._schema)
        self._pending: list[dict[str, str]] = []

    def add(self, *texts: str) -> None:
        """Add a row, its texts in the order of the columns."""
        self._pending.append(dict(zip(self._schema.names, map(printable, texts), strict=True)))
        if len(self._pending) == _ROWS_PER_GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.Table.from_pylist(self._pending, schema=self._schema))
            self._pending.clear()
