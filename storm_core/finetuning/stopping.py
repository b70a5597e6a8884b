"""Told to stop: SIGTERM becomes a request that training looks at between two steps."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

# What a shell and Kubernetes report of a process that SIGTERM ended.
EXIT_CODE = 128 + signal.SIGTERM


@dataclass
class StopRequest:
    """Whether the process was told to stop."""

    requested: bool = False


@contextlib.contextmanager
def listen_for_stop() -> Iterator[StopRequest]:
    """A request that SIGTERM fulfils; afterwards the signal has its earlier effect again."""
    stop = StopRequest()

    def note(number: int, frame: FrameType | None) -> None:
        stop.requested = True

    if threading.current_thread() is not threading.main_thread():  # Python hands signals to the main thread alone.
        yield stop
        return
    earlier = signal.signal(signal.SIGTERM, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, earlier)
