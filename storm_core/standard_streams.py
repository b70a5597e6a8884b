"""Standard streams that others may close: a line that nobody takes ends no work, and without a reader nothing is told.

A terminal is closed, the reader of a pipe has what it wants and goes, the disk below a log is full.
"""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

# What a shell reports of a program that wrote where nobody reads any more: 128 and the number of SIGPIPE.
NO_READER = 141
_OUTPUT = "standard output"


class _Stream(io.TextIOBase):
    """What writes to another stream, and looks like it."""

    def __init__(self, behind: TextIO) -> None:
        self.behind = behind

    def isatty(self) -> bool:
        """As the stream behind."""
        return self.behind.isatty()

    def fileno(self) -> int:
        """As the stream behind."""
        return self.behind.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As that of the stream behind."""
        return self.behind.encoding


class LossyStream(_Stream):
    """Passes on what is written to it for as long as anybody takes it: lines of a log, which are not the work."""

    def write(self, text: str) -> int:
        """Write what can be."""
        with contextlib.suppress(OSError):
            try:
                self.behind.write(text)
            except UnicodeEncodeError:
                self.behind.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
        return len(text)

    def flush(self) -> None:
        """Flush what can be."""
        with contextlib.suppress(OSError, ValueError):  # The latter of a stream that is closed.
            self.behind.flush()


class NamedOutput(_Stream):
    """Standard output, whose errors say that they are of it. After one what is left is dropped."""

    def write(self, text: str) -> int:
        """Write the text.

        Raises:
            OSError: nobody reads it, or there is no room.
        """
        with self._named():
            try:
                return self.behind.write(text)
            except UnicodeEncodeError:
                # A name that is no UTF-8, or a letter that a terminal's encoding lacks.
                shown = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
                return self.behind.write(shown)

    def flush(self) -> None:
        """Write what waits; see `write`."""
        with self._named():
            self.behind.flush()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # The interpreter flushes once more when it ends, and would complain.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.behind.fileno())
            os.close(nowhere)
            raise OSError(error.errno, error.strerror, _OUTPUT) from None


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """While the body, a program, runs: standard error loses what nobody takes, standard output names its errors."""
    _open_missing()
    if isinstance(sys.stdout, NamedOutput):
        yield
        return
    with contextlib.redirect_stderr(LossyStream(sys.stderr)), contextlib.redirect_stdout(NamedOutput(sys.stdout)):
        yield


def is_without_reader(error: OSError) -> bool:
    """Whether the error says that whoever read standard output reads no more."""
    return isinstance(error, BrokenPipeError) and error.filename == _OUTPUT


def _open_missing() -> None:
    """Lead to nowhere what the program was started without: else the next file that is opened takes its place."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            os.open(os.devnull, os.O_RDWR)  # The lowest free number is taken.
            os.set_inheritable(descriptor, True)
    sys.stdin = sys.stdin or os.fdopen(0, "r", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
