"""Told to stop: SIGTERM ends a stage in an orderly way, or becomes a request that a stage looks at when it can."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

# What a shell and Kubernetes report of a process that SIGTERM ended.
EXIT_CODE = 128 + signal.SIGTERM


@contextlib.contextmanager
def stop_in_order() -> Iterator[None]:
    """Let SIGTERM raise `SystemExit` with code 143, so that half-written outputs are removed and runs are closed.

    A second SIGTERM ends the process at once.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise SystemExit(EXIT_CODE)

    if threading.current_thread() is not threading.main_thread():  # Python hands signals to the main thread alone.
        yield
        return
    earlier = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


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
