"""Who asks a Kubeflow Pipelines server, as kfp's client is told it by the environment; looked at before it is used."""

import json
import os
from pathlib import Path
from typing import Any

from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials

from storm_core.errors import InputError

# What kfp's command line reads its `--existing-token` from.
TOKEN_VARIABLE = "KFP_EXISTING_TOKEN"  # noqa: S105
COOKIES_VARIABLE = "KFP_COOKIES"
CERTIFICATES_VARIABLE = "KFP_SSL_CA_CERT"
_TOKEN_FILE_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"  # noqa: S105
# Below the home directory; kfp's client reads it whenever it is there.
_CONTEXT = Path(".config/kfp/context.json")


def authentication() -> dict[str, Any]:
    """What kfp's client does not read from the environment by itself where it is given an address.

    Raises:
        InputError: what a variable or the client's own file holds cannot be used; no secret is shown.
    """
    for variable in (TOKEN_VARIABLE, COOKIES_VARIABLE):
        _check_line(variable)
    for variable in (CERTIFICATES_VARIABLE, _TOKEN_FILE_VARIABLE):
        _check_file(variable)
    _check_context(Path.home() / _CONTEXT)
    given: dict[str, Any] = {
        "existing_token": os.environ.get(TOKEN_VARIABLE),
        "cookies": os.environ.get(COOKIES_VARIABLE),
        "ssl_ca_cert": os.environ.get(CERTIFICATES_VARIABLE),
    }
    if os.environ.get(_TOKEN_FILE_VARIABLE):
        given["credentials"] = ServiceAccountTokenVolumeCredentials()
    return {name: value for name, value in given.items() if value}


def _check_line(variable: str) -> None:
    # It becomes a header, and what refuses a header shows it.
    value = os.environ.get(variable, "")
    if not (value.isascii() and value.isprintable()):
        raise InputError(f"{variable} must be one line of printable ASCII; does a line break stand at its end?")


def _check_file(variable: str) -> None:
    path = os.environ.get(variable)
    if not path:
        return
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{variable} is {path}, which cannot be read: {error.strerror}") from None


def _check_context(path: Path) -> None:
    if not path.exists():
        return
    try:
        context = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        context = None
    if not isinstance(context, dict) or "namespace" not in context:
        raise InputError(f'{path}, which kfp\'s client reads, must be a JSON object with the key "namespace" at least')
