"""Verdicts that outlive a run which is killed, and serve every later run that would ask the same.

They lie in files of some seconds' work each, partial results of a run; when the run is whole, its files become one.
Which verdicts a run can use follows from example and rubric, not from the file they lie in: all files are read once,
and what is about the run's own examples goes into an index on disk, so memory does not grow with them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storm_core.artifacts import hash_file
from storm_core.pacing import Pace
from storm_core.records import Example
from storm_core.stores.partial_results import PartialResults
from storm_core.verdicts.cache_index import VerdictIndex
from storm_core.verdicts.files import VerdictWriter, read_verdicts, write_verdicts
from storm_core.verdicts.schema import NO_ANSWER, Verdict

# A part of so many verdicts is kept at once, however young; it bounds what is pending in memory.
_MAX_PENDING = 20_000
# Parts are read back one by one: 360 an hour are as many as a later run should meet.
_SHORTEST_SECONDS = 10.0


class VerdictCache:
    """What is known of some examples, and new verdicts on their way into files. To be used in a `with` statement.

    Leaving it, by an error too, keeps what is pending.
    """

    def __init__(self, partial_results: PartialResults, scratch: Path, *, run_key: str, keep_seconds: float) -> None:
        """Starts empty; `load` reads what earlier runs have kept.

        Args:
            partial_results: of all runs that ask the same judge in the same way.
            scratch: a directory that may be filled; what is left in it is of no use to anyone.
            run_key: of this run; its own partial results carry it in their names.
            keep_seconds: how long a verdict may wait at most before it is kept.
        """
        self._partial_results = partial_results
        self._prefix = f"{run_key[:16]}/"
        self._pace = Pace(
            first_seconds=_SHORTEST_SECONDS, shortest_seconds=_SHORTEST_SECONDS, longest_seconds=keep_seconds
        )
        self._pending: list[Verdict] = []
        self._added = 0
        self._scratch = scratch
        self._index = VerdictIndex(scratch / "index.sqlite")

    def __enter__(self) -> "VerdictCache":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._flush()
        finally:
            self._index.close()

    def load(self, ids: Iterable[str], rubric_hashes: Collection[str]) -> None:
        """Read every part once, and index its verdicts about these examples and rubrics.

        Of each ID eight bytes are held in memory while this runs.
        """
        names = self._partial_results.names()
        if not names:
            return
        ordered = np.sort(np.fromiter(map(hash, ids), dtype=np.int64))
        hashes = pa.array(sorted(rubric_hashes), pa.string())

        def wanted(batch: "pa.RecordBatch") -> "pa.Array":
            found = _holds(ordered, np.fromiter(map(hash, batch["id"].to_pylist()), dtype=np.int64))
            usable = pc.and_(pa.array(found), pc.is_in(batch["rubric_hash"], value_set=hashes))
            # Earlier versions kept verdicts without an answer too.
            return pc.and_(usable, pc.not_equal(batch["label"], NO_ANSWER))

        for verdicts in self._stored(names, wanted):
            self._index.add(verdicts)

    def find(self, examples: Iterable[Example]) -> dict[tuple[str, str], Verdict]:
        """The verdicts about these examples, by example ID and rubric name."""
        return self._index.find(examples)

    def add(self, batch: Sequence[Verdict]) -> None:
        """Take the verdicts of a batch; all of them that are answers go into the same part."""
        answered = [verdict for verdict in batch if verdict.label != NO_ANSWER]
        self._pending.extend(answered)
        self._index.add(answered)
        self._added += len(answered)
        if self._pace.is_due() or len(self._pending) >= _MAX_PENDING:
            self._flush()

    def finish(self) -> None:
        """Put the partial results of this run together into one, so that many runs leave few files."""
        self._flush()
        own = [name for name in self._partial_results.names() if name.startswith(self._prefix)]
        whole = [name for name in own if name.startswith(f"{self._prefix}whole-")]
        if len(own) > 1 and (self._added or not whole):
            file = self._scratch / "whole.parquet"
            with VerdictWriter(file) as writer:
                for verdicts in self._stored(own):
                    writer.write(verdicts)
            name = f"{self._prefix}whole-{hash_file(file)[:16]}.parquet"
            self._partial_results.keep(name, file)
            whole = [name]
        for name in own if whole else []:
            if name not in whole:
                self._partial_results.drop(name)

    def _flush(self) -> None:
        if self._pending:
            began = self._pace.now()
            file = self._scratch / "pending.parquet"
            write_verdicts(file, self._pending)
            # Named by content: two attempts of one run that are under way at once do not replace each other's files.
            self._partial_results.keep(f"{self._prefix}{hash_file(file)[:16]}.parquet", file)
            self._pending.clear()
            self._pace.wrote(since=began)

    def _stored(
        self, names: Iterable[str], wanted: Callable[["pa.RecordBatch"], "pa.Array"] | None = None
    ) -> Iterator[Iterator[Verdict]]:
        file = self._scratch / "stored.parquet"
        for name in names:
            if self._partial_results.fetch(name, file):
                yield read_verdicts(file, wanted)


def _holds(
    ordered: "np.typing.NDArray[np.int64]", values: "np.typing.NDArray[np.int64]"
) -> "np.typing.NDArray[np.bool_]":
    """Which of the values are in the sorted array."""
    if not len(ordered):
        return np.zeros(len(values), dtype=np.bool_)
    found: np.typing.NDArray[np.bool_] = ordered[np.searchsorted(ordered, values).clip(max=len(ordered) - 1)] == values
    return found
