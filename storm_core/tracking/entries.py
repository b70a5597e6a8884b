"""What is to be logged to one run: added by the stage, taken off when MLflow has it."""

import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

# Below MLflow's own limits of a batch, with room for the length of a request: 1000 in all, 100 parameters, 100 tags.
_METRICS, _PARAMS, _TAGS = 500, 50, 50


@dataclass(frozen=True)
class Point:
    """One value of a metric; `timestamp` in milliseconds."""

    key: str
    value: float
    timestamp: int
    step: int


@dataclass
class Entries:
    """Points of metrics, parameters and tags."""

    metrics: list[Point] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.metrics or self.params or self.tags)

    def to_json(self) -> dict[str, Any]:
        """As an object for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Entries":
        """What `to_json` wrote."""
        return cls([Point(**point) for point in content["metrics"]], dict(content["params"]), dict(content["tags"]))


class Outbox:
    """Entries that wait: one thread adds, another sends."""

    def __init__(self, waiting: Entries | None = None) -> None:
        self._waiting = waiting or Entries()
        self._lock = threading.Lock()

    def add_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Add a point, of now, for each metric."""
        now = milliseconds()
        with self._lock:
            self._waiting.metrics += [Point(name, float(value), now, step) for name, value in metrics.items()]

    def add_params(self, params: Mapping[str, str]) -> None:
        """Add parameters."""
        with self._lock:
            self._waiting.params |= params

    def add_tags(self, tags: Mapping[str, str]) -> None:
        """Add tags; the last value of one counts."""
        with self._lock:
            self._waiting.tags |= tags

    def next_batch(self) -> Entries:
        """What one request takes; empty when nothing waits."""
        with self._lock:
            waiting = self._waiting
            return Entries(
                waiting.metrics[:_METRICS],
                dict(islice(waiting.params.items(), _PARAMS)),
                dict(islice(waiting.tags.items(), _TAGS)),
            )

    def remove(self, sent: Entries) -> None:
        """Take off what MLflow has; what was set anew in the meantime stays."""
        with self._lock:
            del self._waiting.metrics[: len(sent.metrics)]
            for waiting, done in ((self._waiting.params, sent.params), (self._waiting.tags, sent.tags)):
                for name, value in done.items():
                    if waiting.get(name) == value:
                        del waiting[name]

    def waiting(self) -> Entries:
        """A copy of all that waits."""
        with self._lock:
            waiting = self._waiting
            return Entries(list(waiting.metrics), dict(waiting.params), dict(waiting.tags))


def milliseconds() -> int:
    """The time now, as MLflow counts it."""
    return int(time.time() * 1000)
