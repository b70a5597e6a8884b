"""The address of an endpoint, written in one way: verdicts count as one judge's by it."""

import re
from urllib.parse import SplitResult, urlsplit

from storm_core.errors import InputError

COMPLETIONS = "/completions"
CHAT_COMPLETIONS = "/chat/completions"
KEY_VARIABLE = "OPENAI_API_KEY"
_LONGEST_LABEL = 63
PORTS = {"http": 80, "https": 443}


def base_url(address: str) -> str:
    """The address without slashes at its end, the name of an interface, letter case of the host and the usual port.

    Raises:
        InputError: it is no plain http or https URL.
    """
    parts = _parts(address)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{shown}{port}{base_path(parts.path)}"


def base_path(path: str) -> str:
    """The path without slashes at its end and without an interface's name, which the address of a request has."""
    base = path.rstrip("/")
    for interface in (CHAT_COMPLETIONS, COMPLETIONS):
        base = base.removesuffix(interface).rstrip("/")
    return base


def is_host(host: str) -> bool:
    """Whether it may be the name or the number of a host: who connects raises odd errors over others."""
    labels = host.removesuffix(".").split(".")
    return all(0 < len(label.encode("punycode")) <= _LONGEST_LABEL for label in labels) and not re.search(r"\s", host)


def _parts(address: str) -> SplitResult:
    try:
        parts = urlsplit(address.strip())
        _ = parts.port
    except ValueError as error:
        raise InputError(f"endpoint must be an http or https URL: {error}") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError(f"endpoint must be a plain URL; a key belongs into {KEY_VARIABLE}, not into the address")
    if parts.scheme not in PORTS or not is_host(parts.hostname or ""):
        raise InputError(f"endpoint must be an http or https URL such as http://localhost:8000/v1, got {address!r}")
    return parts
