"""Verdicts of finished batches, kept as parts, so that a run that was killed goes on after them.

Batches are cut over the whole shard before the first is scored and are kept whole, so the verdicts of a resumed run are
those of an uninterrupted one to the last bit.
"""

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from storm_core.curation.verdicts import Verdict, read_verdicts, write_verdicts
from storm_core.stores.parts import Parts

# What a kill costs at most, against the cost of one small object in a store.
_SECONDS_BETWEEN_PARTS = 30.0


class KeptBatches:
    """The batches that earlier attempts finished, and those of this one."""

    def __init__(self, parts: Parts, seconds_between_parts: float = _SECONDS_BETWEEN_PARTS) -> None:
        self._parts = parts
        self._seconds = seconds_between_parts
        self._unkept: list[Verdict] = []
        self._last = time.monotonic()
        self.verdicts_by_id: dict[str, list[Verdict]] = {}
        self._next = 0
        self._load()

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Note the verdicts of one whole batch; every so often all that were noted become a part."""
        self._unkept.extend(verdicts)
        if time.monotonic() - self._last >= self._seconds:
            self._keep()

    def _load(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "verdicts.parquet"
            for name in self._parts.names():
                self._next = max(self._next, int(Path(name).stem.rpartition("-")[2]) + 1)
                if self._parts.fetch(name, file):
                    for verdict in read_verdicts(file):
                        known = self.verdicts_by_id.setdefault(verdict.id, [])
                        # Two attempts at the same time may have kept the same batch.
                        if all(other.rubric != verdict.rubric for other in known):
                            known.append(verdict)
                    file.unlink()

    def _keep(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "verdicts.parquet"
            write_verdicts(file, self._unkept)
            self._parts.keep(f"verdicts-{self._next:06d}.parquet", file)
        self._next += 1
        self._unkept = []
        self._last = time.monotonic()
