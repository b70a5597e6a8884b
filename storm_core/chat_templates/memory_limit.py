"""A bound on the memory that a template takes: a text that it doubles again and again would fill any machine."""

import contextlib
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

# Beyond what the process has. The longest conversations take some megabytes.
BYTES = 1 << 30
_OF_THIS_PROCESS = Path("/proc/self/statm")


@contextlib.contextmanager
def limited_memory(room: int) -> Iterator[None]:
    """Have Python raise `MemoryError` once the process takes `room` more bytes within.

    Where no system says how much it has, or there is no main thread to bound, nothing is bounded.
    """
    # The bound is the whole process's: threads that set and reset it would leave each other's behind.
    if threading.current_thread() is not threading.main_thread() or not _OF_THIS_PROCESS.is_file():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = _taken() + room
    known = [bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([wanted, *known]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _taken() -> int:
    """Bytes of address space that the process has."""
    pages = int(_OF_THIS_PROCESS.read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()
