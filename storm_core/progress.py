"""Progress for a person: a bar on a terminal, a log line every few seconds elsewhere.

Where standard error is a pipe to a terminal, whoever reads the pipe sets `STORM_PROGRESS=bar`.
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
BAR_VARIABLE = "STORM_PROGRESS"
_SECONDS_BETWEEN_LINES = 15.0


def progress(items: Iterable[T], *, total: int, description: str, unit: str) -> Iterator[T]:
    """Yield `items`, showing how many of `total` are done on standard error."""
    if shows_bars():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=description, unit=unit, leave=False)
        return
    last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES and done < total:
            report(f"{description}: {done} of {total} {unit}")
            last = now


def shows_bars() -> bool:
    """Whether standard error ends at a terminal."""
    return sys.stderr.isatty() or os.environ.get(BAR_VARIABLE) == "bar"


def report(line: str) -> None:
    """Write one line to standard error."""
    print(line, file=sys.stderr, flush=True)
