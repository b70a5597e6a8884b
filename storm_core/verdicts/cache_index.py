"""Verdicts by example and rubric, in an SQLite file that lives no longer than the run."""

import errno
import os
import sqlite3
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from storm_core.records import Example
from storm_core.verdicts.schema import Verdict

# Columns that hold a field of the verdict as it is, in the order of the table.
_FIELDS = ("label", "expected_value", "label_mass", "unseen_mass", "tokens", "truncated")
_CREATE = """
CREATE TABLE verdicts (
    id TEXT, rubric TEXT, probabilities BLOB, label TEXT, expected_value REAL, label_mass REAL, unseen_mass REAL,
    tokens INTEGER, truncated INTEGER, PRIMARY KEY (id, rubric)
) WITHOUT ROWID
"""
_INSERT = "INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FIND = "SELECT * FROM verdicts WHERE id = ?"


class VerdictIndex:
    """Verdicts of one judge and one wording of each rubric. Of two about the same, the first one stays."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = sqlite3.connect(path, isolation_level=None)
        # It need not survive a crash: what was kept of the run does.
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        with _full_disk_as_os_error(path):
            self._database.execute(_CREATE)
        # What all verdicts of a rubric share, and the database need not repeat.
        self._shared: dict[str, Verdict] = {}

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Insert what is not there yet.

        Raises:
            OSError: the disk is full.
        """
        with _full_disk_as_os_error(self._path):
            self._database.execute("BEGIN")
            self._database.executemany(_INSERT, map(self._to_row, verdicts))
            self._database.execute("COMMIT")

    def find(self, examples: Iterable[Example]) -> dict[tuple[str, str], Verdict]:
        """The verdicts about these examples, by example ID and rubric name; each with its example's source."""
        found = {}
        for example in examples:
            for row in self._database.execute(_FIND, (example.id,)):
                verdict = self._from_row(example, row)
                found[verdict.id, verdict.rubric] = verdict
        return found

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _to_row(self, verdict: Verdict) -> tuple[Any, ...]:
        self._shared.setdefault(verdict.rubric, verdict)
        probabilities = array("d", verdict.probabilities).tobytes()
        return verdict.id, verdict.rubric, probabilities, *(getattr(verdict, name) for name in _FIELDS)

    def _from_row(self, example: Example, row: tuple[Any, ...]) -> Verdict:
        id, rubric, probabilities, *rest = row
        stored = dict(zip(_FIELDS, rest, strict=True))
        stored["truncated"] = bool(stored["truncated"])  # SQLite has integers alone
        probabilities = tuple(array("d", probabilities))
        return replace(self._shared[rubric], id=id, source=example.source, probabilities=probabilities, **stored)


@contextmanager
def _full_disk_as_os_error(path: Path) -> Iterator[None]:
    """Raise SQLite's error about a full disk as the one that every other file gives, which the command reports."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
