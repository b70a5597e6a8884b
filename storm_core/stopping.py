"""Told to stop, by Ctrl-C or a signal: the process ends in order, or a stage is asked to and ends when it can.

What is imported here is light: a program listens before it loads anything else.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signal import _HANDLER

# Ctrl-C, what a system and Kubernetes send, and what comes when the terminal is closed.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What a shell reports of a process that such a signal ended; so does a stage that was stopped in order.
EXIT_CODES = tuple(128 + number for number in SIGNALS)
# A service manager signals a whole tree of processes, and each parent passes it on: that is one wish.
_SAME_WISH_SECONDS = 0.5
# How soon a stop is asked for again where a library swallowed it.
_AGAIN_SECONDS = 0.05


_NOTHING_KEPT = "nothing half-written is left, and the same command can be run again"


class Stopped(SystemExit):
    """The process was told to stop. Its exit code is the one that a shell reports of the signal.

    Attributes:
        signal: what it was told by.
        kept: what is left of the work, for the line that says so; None where another process has said it.
    """

    def __init__(self, number: int, kept: str | None = _NOTHING_KEPT):
        super().__init__(128 + number)
        self.exit_code = 128 + number
        self.signal = signal.Signals(number)
        self.kept = kept

    def __str__(self) -> str:
        return f"stopped ({self.signal.name}); {self.kept}"


class StopRequest:
    """Whether, and by which signal, the process was told to stop."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    @property
    def requested(self) -> bool:
        """Whether it was."""
        return self.signal is not None


class _Listener:
    """The handler of all the signals: the first one is acted on, a later one ends the process at once."""

    def __init__(self) -> None:
        self.act: Callable[[signal.Signals], None] = _raise
        self.before: list[Callable[[signal.Signals], None]] = []
        self._first: float | None = None
        self._again = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is None or self._again:
            self._first, self._again = now, False
            for tell in self.before:
                tell(signal.Signals(number))
            self.act(signal.Signals(number))
        elif now - self._first > _SAME_WISH_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def ask_again(self, stop: Stopped) -> None:
        """Send the signal once more, soon: what it raised came where nothing could be raised."""
        self._again = True
        timer = threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), stop.signal))
        timer.daemon = True
        timer.start()


def _raise(number: signal.Signals) -> None:
    raise Stopped(number)


@contextlib.contextmanager
def stop_in_order() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP raise `Stopped`, so that half-written outputs are removed and runs are closed.

    A second one ends the process at once. What is ignored, as `nohup` has it, stays so.
    """
    if _listener() or not _hears_signals():
        yield
        return
    listener = _Listener()
    earlier: dict[int, _HANDLER] = {number: signal.getsignal(number) for number in SIGNALS}
    hook = sys.unraisablehook

    def swallowed(unraisable: "sys.UnraisableHookArgs") -> None:
        if isinstance(unraisable.exc_value, Stopped):
            listener.ask_again(unraisable.exc_value)
        else:
            hook(unraisable)

    sys.unraisablehook = swallowed
    for number, disposition in earlier.items():
        if disposition is not signal.SIG_IGN:
            signal.signal(number, listener)
    try:
        yield
    finally:
        for number, disposition in earlier.items():
            signal.signal(number, disposition)
        sys.unraisablehook = hook


class StopTold:
    """Raises the stop again in place of the error that it became, as in a library that was being loaded."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None and not isinstance(error, Stopped) and (stop := _stop_behind(error)):
            raise stop from None


def _stop_behind(error: BaseException) -> Stopped | None:
    """The stop that `error` was raised from or beside, if there was one."""
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, Stopped):
        behind = behind.__cause__ or behind.__context__
    return behind


@contextlib.contextmanager
def listen_for_stop() -> Iterator[StopRequest]:
    """A request that the signals fulfil, once; afterwards they have their earlier effect again."""
    stop = StopRequest()

    def note(number: signal.Signals) -> None:
        stop.signal = number

    with stop_in_order():
        listener = _listener()
        if listener is None or not _hears_signals():  # What the main thread is told is not for another one to take.
            yield stop
            return
        earlier, listener.act = listener.act, note
        try:
            yield stop
        finally:
            listener.act = earlier


@contextlib.contextmanager
def in_one_piece() -> Iterator[None]:
    """Let the body, which is short, come to its end before a signal has its effect."""
    with listen_for_stop() as stop:
        yield
    if stop.signal:
        raise Stopped(stop.signal)


@contextlib.contextmanager
def telling_stop(tell: Callable[[signal.Signals], None]) -> Iterator[None]:
    """While the body runs, `tell` learns first of a stop of this process, whatever the main thread waits for."""
    listener = _listener()
    if listener is None:
        yield
        return
    listener.before.append(tell)
    try:
        yield
    finally:
        listener.before.remove(tell)


def _listener() -> _Listener | None:
    """What listens to the signals now."""
    current = (signal.getsignal(number) for number in SIGNALS)
    return next((one for one in current if isinstance(one, _Listener)), None)


def _hears_signals() -> bool:
    """Whether this is the main thread, which alone Python hands signals to."""
    return threading.current_thread() is threading.main_thread()
