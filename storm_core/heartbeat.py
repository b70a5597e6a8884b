"""What a stage is at, and the line that says so where nothing else was said for a while."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

from storm_core.line_stream import LineStream
from storm_core.log_lines import write_line

# Whoever watches a task hears of it once a minute, also where the machine is busy.
SECONDS_OF_SILENCE = 50.0
# Of a line; and of what it says of one activity, whose description may hold a name of the user's.
MOST_CHARACTERS = 150
_MOST_IN_NAME = 60


@dataclass(eq=False)
class Activity:
    """Something that takes a while, and how far it is: `12 of 40 batches`, or nothing."""

    description: str
    state: str = ""
    started: float = field(default_factory=time.monotonic)


_current: ContextVar[list[Activity] | None] = ContextVar("current_activities", default=None)


@contextlib.contextmanager
def activity(description: str) -> Iterator[Activity]:
    """What the stage is at while the body runs, within what it is at already."""
    one, under_way = Activity(description), _current.get()
    if under_way is None:
        yield one
        return
    under_way.append(one)
    try:
        yield one
    finally:
        under_way.remove(one)  # Not the last one, where a generator is closed late.


def path_of(one: Activity) -> str:
    """The activity's description, after those of what it is within."""
    under_way = _current.get() or [one]
    return _path(under_way[: under_way.index(one) + 1])


@contextlib.contextmanager
def heartbeat(name: str, *, seconds: float = SECONDS_OF_SILENCE) -> Iterator[None]:
    """While the body runs, write a line of what it is at wherever no line was written for `seconds`.

    Where standard error is no `LineStream`, a person watches bars on a terminal, and nothing is written.
    """
    under_way: list[Activity] = []
    token = _current.set(under_way)
    try:
        if isinstance(sys.stderr, LineStream):
            with _beating(name, sys.stderr, under_way, seconds):
                yield
        else:
            yield
    finally:
        _current.reset(token)


@contextlib.contextmanager
def _beating(name: str, stream: LineStream, under_way: list[Activity], seconds: float) -> Iterator[None]:
    started, over = time.monotonic(), threading.Event()
    thread = threading.Thread(target=_beat, args=(name, stream, under_way, started, seconds, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _beat(
    name: str, stream: LineStream, under_way: list[Activity], started: float, seconds: float, over: threading.Event
) -> None:
    while not over.wait(max(0.0, stream.spoke + seconds - time.monotonic())):
        if time.monotonic() - stream.spoke >= seconds:
            write_line(f"{name}: {describe(list(under_way), stream.bar, started)}"[:MOST_CHARACTERS])


def describe(under_way: list[Activity], bar: str, started: float) -> str:
    """What is under way and for how long: `simple_python: 3 of 12 batches, 2 min 5 s so far`."""
    if not under_way:
        return ", ".join(part for part in ("at work", bar, f"{in_words(time.monotonic() - started)} so far") if part)
    newest = under_way[-1]
    parts = (newest.state or bar, f"{in_words(time.monotonic() - newest.started)} so far")
    return f"{_path(under_way)}: {', '.join(part for part in parts if part)}"


def _path(under_way: list[Activity]) -> str:
    return ": ".join(one.description[:_MOST_IN_NAME] for one in under_way)


def in_words(seconds: float) -> str:
    """200 as `3 min 20 s`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
