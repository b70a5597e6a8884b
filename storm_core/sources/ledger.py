"""The account of every row: how many a source had, and where each dropped one stood and why it was dropped."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

REJECTED_SCHEMA = pa.schema([("source", pa.string()), ("place", pa.string()), ("reason", pa.string())])
_ROWS_PER_GROUP = 10_000


class Ledger:
    """Counts of rows read and dropped by source; the dropped ones go to `rejected.parquet` as they come."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: Counter[str] = Counter()
        self._dropped: dict[str, Counter[str]] = {}
        self._pending: list[dict[str, str]] = []
        self._writer = pq.ParquetWriter(directory / "rejected.parquet", REJECTED_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._writer.close()

    def count_read(self, source: str) -> None:
        """Count one row of `source`, whatever becomes of it."""
        self._read[source] += 1

    def drop(self, source: str, place: str, reason: str, detail: str = "") -> None:
        """Count and keep one dropped row; the ledger counts by `reason`, the detail goes to `rejected.parquet`."""
        self._dropped.setdefault(source, Counter())[reason] += 1
        self._pending.append({"source": source, "place": place, "reason": f"{reason}: {detail}" if detail else reason})
        if len(self._pending) == _ROWS_PER_GROUP:
            self._flush()

    def accounts(self) -> dict[str, dict[str, Any]]:
        """By source: rows `read`, `kept`, and `dropped` by reason; read is kept plus everything dropped."""
        accounts = {}
        for source, read in self._read.items():
            dropped = self._dropped.get(source, Counter())
            accounts[source] = {"read": read, "kept": read - dropped.total(), "dropped": dict(dropped)}
        return accounts

    def write(self, held_out: Mapping[str, Any]) -> None:
        """Write `ledger.json`: the accounts, and what was read of the evaluation data."""
        text = json.dumps({"held_out": held_out, "sources": self.accounts()}, indent=2, sort_keys=True)
        (self._directory / "ledger.json").write_text(text + "\n", encoding="utf-8")

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.Table.from_pylist(self._pending, schema=REJECTED_SCHEMA))
            self._pending.clear()
