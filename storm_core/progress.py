"""Progress for a person: a bar on a terminal, a log line every few seconds elsewhere.

Where standard error is a pipe to a terminal, whoever reads the pipe sets `STORM_PROGRESS=bar`.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from storm_core.heartbeat import activity, path_of
from storm_core.log_lines import wants_json, write_line
from storm_core.processes import is_main
from storm_core.redaction import without_secrets

T = TypeVar("T")
BAR_VARIABLE = "STORM_PROGRESS"
_SECONDS_BETWEEN_LINES = 15.0


def progress(items: Iterable[T], *, total: int | None, description: str, unit: str) -> Iterator[T]:
    """Yield `items`, showing on standard error how many are done, of `total` where that is known."""
    with activity(description) as current:
        if shows_bars():
            from tqdm import tqdm

            yield from tqdm(items, total=total, desc=path_of(current), unit=unit, leave=False)
            return
        last = time.monotonic()
        for done, item in enumerate(items, start=1):
            yield item
            current.state = f"{done} {unit}" if total is None else f"{done} of {total} {unit}"
            now = time.monotonic()
            if now - last >= _SECONDS_BETWEEN_LINES and done != total:
                report(f"{path_of(current)}: {current.state}")
                last = now


@contextlib.contextmanager
def byte_progress(total: int, description: str) -> Iterator[Callable[[int], None]]:
    """A function that threads tell of bytes done; shows how many of `total` on standard error."""
    lock = threading.Lock()
    if shows_bars():
        from tqdm import tqdm

        with tqdm(total=total, desc=description, unit="B", unit_scale=True, leave=False) as bar:

            def update(count: int) -> None:
                with lock:
                    bar.update(count)

            yield update
        return
    with activity(description) as current:
        started = last = time.monotonic()
        done = 0

        def count_up(count: int) -> None:
            nonlocal done, last
            with lock:
                done += count
                now = time.monotonic()
                rate = done / max(now - started, 1e-9)
                current.state = f"{done / 1e9:.1f} of {total / 1e9:.1f} GB, {rate / 1e6:.0f} MB/s"
                if now - last >= _SECONDS_BETWEEN_LINES and done < total:
                    report(f"{description}: {current.state}")
                    last = now

        yield count_up


def shows_bars() -> bool:
    """Whether standard error ends at a terminal, where a person reads it."""
    return not wants_json() and is_main() and (sys.stderr.isatty() or os.environ.get(BAR_VARIABLE) == "bar")


def answer(line: str) -> None:
    """Write one line of what was asked for to standard output, without secrets."""
    print(without_secrets(line), flush=True)


def report(line: str, level: str = "info") -> None:
    """Write one line to standard error, in the format of `storm_core.log_lines`.

    Of several processes that run a stage together, the main one alone says how it goes.
    """
    if level != "info" or is_main():
        write_line(line, level)
