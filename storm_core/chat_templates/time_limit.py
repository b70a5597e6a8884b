"""A bound on how long a template computes: loops within loops over ranges may be written to end in years."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

# Of the processor. The longest conversations take a hundredth of one.
SECONDS = 10.0


class TimeIsUpError(Exception):
    """What was to be computed took longer than it may."""


@contextlib.contextmanager
def limited_time(seconds: float) -> Iterator[None]:
    """Raise `TimeIsUpError` once the process has computed for so long within.

    Where there is no main thread to tell, nothing is bounded.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeIsUpError

    if threading.current_thread() is not threading.main_thread():  # Python hands signals to the main thread alone.
        yield
        return
    earlier = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, earlier)
