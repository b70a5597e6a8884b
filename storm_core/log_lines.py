"""Log lines on standard error: plain text for people, or one JSON object a line with `STORM_LOG_FORMAT=json`.

A JSON line holds `time` (UTC, ISO 8601), `level`, `task` (the pipeline's name for the task, where there is one) and
`message`. In this format what libraries log, warn of or write there, and the traceback of a defect, are such lines too.
"""

import atexit
import io
import json
import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

from storm_core.errors import InputError

FORMAT_VARIABLE = "STORM_LOG_FORMAT"
TASK_NAME_VARIABLE = "STORM_TASK_NAME"
FORMATS = ("text", "json")


def write_line(message: str, level: str = "info") -> None:
    """Write one event to standard error."""
    stream = sys.stderr.behind if isinstance(sys.stderr, _JsonStream) else sys.stderr
    print(_as_json(message, level) if wants_json() else message, file=stream, flush=True)


def wants_json() -> bool:
    """Whether log lines are JSON objects."""
    return os.environ.get(FORMAT_VARIABLE) == "json"


def configure_logs() -> None:
    """Make everything that libraries and the interpreter say take the chosen format. Called once, by a program's start.

    Raises:
        InputError: the variable names no format.
    """
    name = os.environ.get(FORMAT_VARIABLE, "text")
    if name not in FORMATS:
        os.environ.pop(FORMAT_VARIABLE)
        raise InputError(f"{FORMAT_VARIABLE} must be one of {', '.join(FORMATS)}, got {name!r}")
    if not wants_json():
        return
    logging.basicConfig(handlers=[_JsonHandler()], format="%(name)s: %(message)s", level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _report_defect
    if not isinstance(sys.stderr, _JsonStream):
        sys.stderr = _JsonStream(sys.stderr)
        atexit.register(sys.stderr.write, "\n")


class _JsonStream(io.TextIOBase):
    """Standard error for those who write there themselves: each line becomes an event, of a bar its last state."""

    def __init__(self, behind: TextIO) -> None:
        self.behind = behind
        self._unfinished = ""

    def write(self, text: str) -> int:
        """Write the lines that are whole now."""
        *lines, self._unfinished = (self._unfinished + text).split("\n")
        for line in lines:
            if shown := line.rstrip("\r").rpartition("\r")[2].strip():
                write_line(shown)
        return len(text)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As that of the stream behind."""
        return self.behind.encoding

    def fileno(self) -> int:
        """The file descriptor behind, for those who write past Python."""
        return self.behind.fileno()


class _JsonHandler(logging.Handler):
    """Writes each record of Python's logging as one JSON line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        write_line(self.format(record).strip(), record.levelname.lower())


def _report_defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    write_line("".join(traceback.format_exception(kind, error, trace)).rstrip(), "critical")


def _as_json(message: str, level: str) -> str:
    event = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": level,
        "task": os.environ.get(TASK_NAME_VARIABLE, ""),
        "message": message,
    }
    return json.dumps(event, ensure_ascii=False)
