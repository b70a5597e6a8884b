"""Log lines on standard error: plain text for people, or one JSON object a line with `STORM_LOG_FORMAT=json`.

A JSON line holds `time` (UTC, ISO 8601), `level`, `task` (the pipeline's name for the task, where there is one) and
`message`. In this format what libraries log or warn of, and the traceback of a defect, are such lines too.
"""

import json
import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType

from storm_core.errors import InputError

FORMAT_VARIABLE = "STORM_LOG_FORMAT"
TASK_NAME_VARIABLE = "STORM_TASK_NAME"
FORMATS = ("text", "json")


def write_line(message: str, level: str = "info") -> None:
    """Write one event to standard error."""
    print(_as_json(message, level) if wants_json() else message, file=sys.stderr, flush=True)


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
