"""Standard streams that others have closed: a line that nobody takes ends no work, and no reader means no answer."""

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


class LossyStream(io.TextIOBase):
    """Passes on what is written to it for as long as anybody takes it: what is lost is only told.

    A terminal may be closed, the reader of a pipe may go, the disk below a log may be full.
    """

    def __init__(self, behind: TextIO) -> None:
        self._behind = behind

    def write(self, text: str) -> int:
        """Write what can be."""
        with contextlib.suppress(OSError):
            self._behind.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be."""
        with contextlib.suppress(OSError, ValueError):  # The latter of a stream that is closed.
            self._behind.flush()

    def isatty(self) -> bool:
        """As the stream behind."""
        return self._behind.isatty()

    def fileno(self) -> int:
        """As the stream behind."""
        return self._behind.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As the stream behind."""
        return self._behind.encoding


@contextlib.contextmanager
def lossy_errors() -> Iterator[None]:
    """Let standard error be a `LossyStream` while the body runs; what is lost there is lost."""
    if isinstance(sys.stderr, LossyStream):
        yield
        return
    with contextlib.redirect_stderr(LossyStream(sys.stderr)):
        yield


def open_standard_streams() -> None:
    """Lead to nowhere what the program was started without: else the next file that is opened takes its place."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            os.open(os.devnull, os.O_RDWR)  # The lowest free number is taken.
            os.set_inheritable(descriptor, True)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, "r", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def write_output(line: str) -> None:
    """Write the line to standard output, at once.

    Raises:
        OSError: nobody reads it, or there is no room for it; what is left of it is dropped.
    """
    with _named_output():
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def flush_output() -> None:
    """Write what standard output still holds; see `write_output`."""
    with _named_output():
        sys.stdout.flush()


def is_without_reader(error: OSError) -> bool:
    """Whether the error says that whoever read standard output reads no more."""
    return isinstance(error, BrokenPipeError) and error.filename == _OUTPUT


@contextlib.contextmanager
def _named_output() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # The interpreter flushes once more when it ends, and would complain.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        raise OSError(error.errno, error.strerror, _OUTPUT) from None
