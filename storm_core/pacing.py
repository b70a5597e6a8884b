"""When to write down what a kill would lose: as often as costs at most a fiftieth of the time.

Kubeflow Pipelines kills a stage within milliseconds, so nothing can be written when the end comes. What a write costs
is known once one was made: after one that took s seconds the next is due after 50 s seconds of work. So a write costs
at most `MAX_SHARE` of the time up to the next one, however unevenly the store answers.
"""

import time
from collections.abc import Callable

MAX_SHARE = 0.02


class Pace:
    """Says when the next write is due. Time counts from the end of one write, so that slow ones leave time to work."""

    def __init__(
        self,
        *,
        first_seconds: float,
        shortest_seconds: float,
        longest_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Time counts from now.

        Args:
            first_seconds: the first write is due after this: soon enough to matter, late enough for what it may cost.
            shortest_seconds: never sooner than this after another write.
            longest_seconds: due after this at the latest, whatever a write costs; it may be the shortest of the three.
            clock: a time in seconds.
        """
        self._shortest = shortest_seconds
        self._longest = longest_seconds
        self._clock = clock
        self._wait = min(first_seconds, longest_seconds)
        self._last = clock()

    def is_due(self) -> bool:
        """Whether it is time for a write."""
        return self._clock() - self._last >= self._wait

    def restart(self) -> None:
        """Count from now: the work since the last write is none, or is written already."""
        self._last = self._clock()

    def now(self) -> float:
        """The time that `wrote` asks for."""
        return self._clock()

    def wrote(self, since: float) -> None:
        """Take note of a write that began at `since` and has just ended."""
        self._last = self._clock()
        self._wait = wait_after(self._last - since, self._shortest, self._longest)


def wait_after(write_seconds: float, shortest_seconds: float, longest_seconds: float) -> float:
    """Seconds of work between a write that took `write_seconds` and the next one."""
    return min(max(write_seconds / MAX_SHARE, shortest_seconds), longest_seconds)
