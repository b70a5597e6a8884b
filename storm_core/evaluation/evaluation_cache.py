"""What an unfinished evaluation has already, as partial results, so that its next attempt continues after it.

Of finished benchmarks it is the measurement, of an unfinished one the replies of the model.
"""

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from storm_core.evaluation.scores import Measurement, Sample, Score
from storm_core.pacing import Pace
from storm_core.progress import report
from storm_core.stores.partial_results import PartialResults

# To write every batch would be one request to the store for a second of a GPU's work, and as many to read them back.
_SHORTEST_SECONDS = 10.0
# Work that a kill may cost, however slow the store is.
LONGEST_SECONDS = 300.0


class ReplyCache:
    """The replies to batches of one benchmark, kept as the partial results `<benchmark>/replies-<number>.json`.

    A batch is known by the SHA-256 of what was asked. It is kept whole, because padding makes a reply depend on the
    rest of its batch in the last digits.
    """

    def __init__(self, partial_results: PartialResults, benchmark: str) -> None:
        self._partial_results = partial_results
        self._prefix = f"{benchmark}/replies-"
        self._known: dict[str, list[Any]] = {}
        self._unkept: dict[str, list[Any]] = {}
        self._pace = Pace(
            first_seconds=_SHORTEST_SECONDS, shortest_seconds=_SHORTEST_SECONDS, longest_seconds=LONGEST_SECONDS
        )
        names = [name for name in partial_results.names() if name.startswith(self._prefix)]
        for name in names:
            self._known |= _read_json(partial_results, name) or {}
        numbers = [int(name.removeprefix(self._prefix).removesuffix(".json")) for name in names]
        self._next = max(numbers, default=-1) + 1
        if self._known:
            report(f"{benchmark}: continues after {len(self._known)} batches of replies from an interrupted run")

    def ask(self, question: Any, compute: Callable[[], Sequence[Any]]) -> list[Any]:
        """The kept replies to `question`, or those of `compute`, which are then kept; both are JSON values."""
        key = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()
        if key not in self._known:
            self._known[key] = self._unkept[key] = list(compute())
            if self._pace.is_due():
                self.keep()
        return self._known[key]

    def keep(self) -> None:
        """Keep the replies that are not kept yet."""
        if self._unkept:
            began = self._pace.now()
            _keep_json(self._partial_results, f"{self._prefix}{self._next:05d}.json", self._unkept)
            self._next += 1
            self._unkept = {}
            self._pace.wrote(since=began)


def keep_measurement(partial_results: PartialResults, benchmark: str, measurement: Measurement) -> None:
    """Keep the measurement as the partial result `<benchmark>/measurement.json`."""
    _keep_json(partial_results, f"{benchmark}/measurement.json", dataclasses.asdict(measurement))


def read_measurement(partial_results: PartialResults, benchmark: str) -> Measurement | None:
    """The measurement that `keep_measurement` stored, or None."""
    stored = _read_json(partial_results, f"{benchmark}/measurement.json")
    if stored is None:
        return None
    return Measurement(
        metric=stored["metric"],
        score=Score(**stored["score"]),
        samples=tuple(Sample(**sample) for sample in stored["samples"]),
        others={name: Score(**score) for name, score in stored["others"].items()},
    )


def _read_json(partial_results: PartialResults, name: str) -> Any:
    """The JSON value in the partial result `name`, or None where it is absent or was altered."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "value.json"
        return json.loads(file.read_text(encoding="utf-8")) if partial_results.fetch(name, file) else None


def _keep_json(partial_results: PartialResults, name: str, value: Any) -> None:
    """Store a JSON value as the partial result `name`; numbers come back bit by bit, infinite ones included."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "value.json"
        file.write_text(json.dumps(value, sort_keys=True), encoding="utf-8")
        partial_results.keep(name, file)
