"""Clients of MLflow, made where the address can be one; what cannot is said in one line, without a password."""

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from storm_core.errors import InputError, first_line
from storm_core.redaction import without_secrets
from storm_core.variables import stray_blank

if TYPE_CHECKING:
    from mlflow import MlflowClient

TRACKING_URI_VARIABLE = "MLFLOW_TRACKING_URI"
# What its client sends in headers.
_HEADERS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_WORKSPACE")
_FORMS = "write http://host:port for a server, sqlite:///FILE for a database"


def connect(uri: str | None = None) -> "MlflowClient":
    """A client of the server or database at `uri`, for runs and models; at `MLFLOW_TRACKING_URI` where it is None.

    Raises:
        InputError: nothing can be reached at such an address, or with such a secret, or a package is missing for it.
        MlflowException: MLflow refuses it.
    """
    if complaint := stray_blank(_HEADERS):
        raise InputError(complaint)
    address = uri or os.environ.get(TRACKING_URI_VARIABLE, "")
    # MLflow takes two seconds to import; a stage that is not tracked does not pay for it.
    from mlflow import MlflowClient

    try:
        _check(address)
        return MlflowClient(uri, uri)
    except ModuleNotFoundError as error:
        raise InputError(f"MLflow at {shown(address)} needs the Python package {error.name}; install it") from error
    except ValueError as error:
        reason = without_secrets(first_line(error))
        raise InputError(f"MLflow cannot be at {shown(address)}: {reason}; {_FORMS}") from error


def shown(address: str) -> str:
    """The address for a line: its host, or all of it where it has none, without user and password."""
    scheme, separator, rest = address.partition("://")
    if not separator or address != address.strip():  # A blank that was typed is seen between quotes.
        return repr(without_secrets(address))
    rest = rest.rpartition("@")[2]
    host = re.split("[/?#]", rest)[0]
    return host or f"{scheme}://{rest}"


def _check(address: str) -> None:
    """Raises ValueError, which says what is wrong, where a server's address is none."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https"):
        return
    if "@" in parts.path:
        raise ValueError("a password in it has a slash, which is written %2F")
    _ = parts.port  # Looked at, it says whether it is one.
    if not parts.hostname:
        raise ValueError("it names no host")
