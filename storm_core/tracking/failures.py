"""What went wrong with MLflow: whether it may pass, and what to do, in one line without secrets."""

import contextlib
import logging
import os
import re
import sys
from collections.abc import Iterator

import botocore.exceptions

from storm_core.errors import InputError, StoreError
from storm_core.mlflow_client import TRACKING_URI_VARIABLE, shown
from storm_core.redaction import without_secrets

_SHOWN = 200
# Of what requests says in several lines, why there was no answer.
_UNANSWERED = re.compile(
    r"API request to .*"
    r"(?:\[Errno -?\d+\] ([\w ,-]+)|"
    r"(timed out|too many \d+ error responses|certificate verify failed|wrong version number|"
    r"Connection reset by peer|Remote end closed connection|Unable to connect to proxy|"
    r"Tunnel connection failed: [\w ]+|Failed to resolve))"
)
# Of what MLflow 3 says of a directory, which is also what an address without http:// is taken for.
_IN_FILES = "filesystem tracking backend"
_TOO_MANY_REQUESTS = 429
_FORBIDDEN = 403
# What stands before a server answers 200, too, as to ask for a log-in.
_NO_JSON = "not in a valid JSON format"
_ADVICE = {
    401: "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
    _FORBIDDEN: "ask for the right to edit the experiment, or name another with MLFLOW_EXPERIMENT_NAME",
    404: "check MLFLOW_TRACKING_URI, and that MLFLOW_EXPERIMENT_ID and MLFLOW_RUN_ID are of this server",
}


def failures() -> tuple[type[Exception], ...]:
    """The errors by which MLflow, its database and its places of files say that they cannot be used."""
    from mlflow.exceptions import MlflowException

    found = [MlflowException, OSError, InputError, StoreError]
    found += [botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError]
    # Only where the address is that of a database are these packages imported.
    for module, name in (("sqlalchemy.exc", "SQLAlchemyError"), ("boto3.exceptions", "Boto3Error")):
        if module in sys.modules:
            found.append(getattr(sys.modules[module], name))
    return tuple(found)


@contextlib.contextmanager
def errors_in_words(if_forbidden: str | None = None) -> Iterator[None]:
    """For a stage whose result is in MLflow itself; `if_forbidden` is what to do where the user has no right to it.

    Raises:
        InputError: it says why MLflow cannot be used.
    """
    try:
        yield
    except failures() as error:
        raise InputError(in_words(error, if_forbidden)) from error


def may_pass(error: Exception) -> bool:
    """Whether the same request may succeed later: the server is away, busy or broken; else it refuses."""
    if isinstance(error, InputError):
        return False
    status = _status(error)
    return status >= 500 or status == _TOO_MANY_REQUESTS


def in_words(error: Exception, if_forbidden: str | None = None) -> str:
    """One line: what MLflow said, where, and what to do."""
    if isinstance(error, InputError | StoreError):
        return str(error)
    host = shown(os.environ.get(TRACKING_URI_VARIABLE, ""))
    said = " ".join(str(error).split())
    if unanswered := _UNANSWERED.search(said):
        return f"MLflow at {host} does not answer: {next(filter(None, unanswered.groups()))}"
    if _IN_FILES in said:
        said, advice = "it keeps no runs in files", "write http://host:port for a server, sqlite:///FILE for a database"
    elif _NO_JSON in said:
        advice = "does MLFLOW_TRACKING_URI name the server, and no page before it?"
    elif "Invalid Host header" in said:
        said, advice = "403, Invalid Host header", f"start the server with --allowed-hosts {host}"
    else:
        status = _status(error)
        advice = if_forbidden if if_forbidden and status == _FORBIDDEN else _ADVICE.get(status, "")
    said = without_secrets(said)
    said = f"{said[:_SHOWN]}..." if len(said) > _SHOWN else said
    return f"MLflow at {host} says: {said}" + (f"; {advice}" if advice else "")


def quieten_client() -> None:
    """Leave it to this module to say what fails: libraries log each retry, and tracebacks of databases."""
    # MLflow prints where a run is seen, with the password that the server's address may have.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def _status(error: Exception) -> int:
    """The HTTP status that the error stands for; 503 where there was no answer."""
    from mlflow.exceptions import MlflowException

    if not isinstance(error, MlflowException):
        return 503
    status: int = error.get_http_status_code()  # type: ignore[no-untyped-call]
    return status
