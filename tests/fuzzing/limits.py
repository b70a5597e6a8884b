"""What one input may take: processor time and memory; more is a fault of whoever reads it."""

import contextlib
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

# Of the processor, not of the clock: other programs run too.
SECONDS = 20
_BYTES = 3 << 30


class TakesTooLongError(BaseException):
    """Not an `Exception`, so that nothing on the way takes it for a refusal."""


@contextlib.contextmanager
def bounded_time() -> Iterator[None]:
    """Raise `TakesTooLongError` in what has computed for `SECONDS`; code in C is stopped once it is back in Python."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TakesTooLongError(f"it computes for more than {SECONDS} seconds")

    earlier = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, earlier)


@contextlib.contextmanager
def bounded_memory() -> Iterator[None]:
    """Let the process have three gigabytes more than it has; what asks for more gets a MemoryError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
