"""Verdicts by example and rubric, in an SQLite file that lives no longer than the run."""

import sqlite3
from array import array
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from storm_core.curation.verdicts import Verdict
from storm_core.records import Example

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
        self._database = sqlite3.connect(path, isolation_level=None)
        # It need not survive a crash: the parts do.
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(_CREATE)
        # What all verdicts of a rubric share, and the database need not repeat.
        self._shared: dict[str, Verdict] = {}

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Insert what is not there yet."""
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
        return (
            verdict.id,
            verdict.rubric,
            array("d", verdict.probabilities).tobytes(),
            verdict.label,
            verdict.expected_value,
            verdict.label_mass,
            verdict.unseen_mass,
            verdict.tokens,
            verdict.truncated,
        )

    def _from_row(self, example: Example, row: tuple[Any, ...]) -> Verdict:
        id, rubric, probabilities, label, expected_value, label_mass, unseen_mass, tokens, truncated = row
        return replace(
            self._shared[rubric],
            id=id,
            source=example.source,
            probabilities=tuple(array("d", probabilities)),
            label=label,
            expected_value=expected_value,
            label_mass=label_mass,
            unseen_mass=unseen_mass,
            tokens=tokens,
            truncated=bool(truncated),
        )
