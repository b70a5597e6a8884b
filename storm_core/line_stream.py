"""A stand-in for standard error where no person watches it: whole lines only, and of a progress bar its state."""

import contextlib
import io
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

# As tqdm draws it: `Fetching: 45%|####5     | 18/40 [00:10<00:12, ..]`; without a total, `Fetching: 18it [00:10, ..]`.
_BAR = re.compile(
    r"(?:(?P<description>.*?):?\s+)?\d+%\|.*?\|\s*(?P<done>\S+/\S+)|(?P<what>.*?):?\s*(?P<count>\d+)it \[.*"
)
# Most of a bar's description that is kept: a line of a log is to be read at a glance.
_MOST_CHARACTERS = 60


class LineStream(io.TextIOBase):
    """Passes on each line that is written, when it is whole.

    What a carriage return wrote over is left out. A progress bar becomes no line: its newest state is kept in `bar`.

    Attributes:
        behind: where the lines go.
        bar: what the last bar said since the last line, such as `Fetching 18/40`; empty where there was none.
        spoke: when the last line was written, by `time.monotonic`.
    """

    def __init__(self, behind: TextIO, form: Callable[[str], str | None] = str) -> None:
        """`form` makes of a line what is written, or None where nothing is to be."""
        self.behind = behind
        self.bar = ""
        self.spoke = time.monotonic()
        self._form = form
        self._unfinished = ""
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        """Write the lines that are whole now."""
        with self._lock:
            *lines, self._unfinished = (self._unfinished + text).split("\n")
            for line in lines:
                self._pass_on(line)
            if "\r" in self._unfinished:
                # Of what is drawn over and over no more is kept than its newest state.
                self._unfinished = "\r" + self._newest(self._unfinished)
        return len(text)

    def write_line(self, line: str) -> None:
        """Write this line, whatever else is unfinished."""
        with self._lock:
            self.spoke = time.monotonic()
            self.bar = ""
            self.behind.write(line + "\n")
            self.behind.flush()

    def finish(self) -> None:
        """Write what has no end of line yet."""
        if self._unfinished:
            self.write("\n")

    def _pass_on(self, line: str) -> None:
        shown = self._newest(line)
        overwritten = "\r" in line.rstrip("\r")
        formed = None if overwritten and not shown.strip() else self._form(shown)
        if formed is not None and not (overwritten and _BAR.search(shown)):
            self.write_line(formed)

    def _newest(self, line: str) -> str:
        """What a terminal would show of a line; the state of a bar is kept."""
        shown = next((part for part in reversed(line.split("\r")) if part.strip()), "")
        if "\r" in line and (bar := _BAR.search(shown)):
            description, done = bar["description"] or bar["what"] or "", bar["done"] or bar["count"]
            self.bar = f"{description.strip()[:_MOST_CHARACTERS]} {done}".strip()
        return shown

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As that of the stream behind."""
        return self.behind.encoding

    def fileno(self) -> int:
        """The file descriptor behind, for those who write past Python."""
        return self.behind.fileno()


@contextlib.contextmanager
def whole_lines() -> Iterator[None]:
    """Let standard error be a `LineStream` while the body runs, unless it is one already."""
    earlier = sys.stderr
    if isinstance(earlier, LineStream):
        yield
        return
    stream = LineStream(earlier)
    try:
        with contextlib.redirect_stderr(stream):
            yield
    finally:
        stream.finish()
