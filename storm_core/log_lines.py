"""Log lines on standard error: plain text for people, or one JSON object a line with `STORM_LOG_FORMAT=json`.

A JSON line holds `time` (UTC, ISO 8601), `level`, `task` (the pipeline's name for the task, where there is one) and
`message`. In this format what libraries log, warn of or write there, and the traceback of a defect, are such lines too.
"""

import atexit
import json
import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType

from storm_core.errors import InputError
from storm_core.line_stream import LineStream
from storm_core.redaction import without_secrets

FORMAT_VARIABLE = "STORM_LOG_FORMAT"
TASK_NAME_VARIABLE = "STORM_TASK_NAME"
FORMATS = ("text", "json")


def write_line(message: str, level: str = "info") -> None:
    """Write one event to standard error, without secrets."""
    message = without_secrets(message)
    line = _as_json(message, level) if wants_json() else message
    if isinstance(sys.stderr, LineStream):
        sys.stderr.write_line(line)
    else:
        print(line, file=sys.stderr, flush=True)


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
    if not isinstance(sys.stderr, LineStream):
        sys.stderr = LineStream(sys.stderr, lambda line: _as_json(line.strip(), "info") if line.strip() else None)
        atexit.register(sys.stderr.finish)


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
