"""The proxy through which an endpoint is reached, as the environment says, found before any other is looked at.

The HTTP client opens every proxy that the environment names, those that this endpoint does not need too, and fails at
one it cannot use.
"""

import importlib.util
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from storm_core.errors import InputError
from storm_core.judging.engines.endpoint_address import PORTS, is_host

_SCHEMES = ("http", "https", "socks5", "socks5h")


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy.

    Attributes:
        variable: that names it.
        url: as it is given, with what it holds of user and password.
    """

    variable: str
    url: str

    @property
    def shown(self) -> str:
        """Where it is, without user and password."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def find_proxy(address: str, environment: Mapping[str, str] = os.environ) -> Proxy | None:
    """The proxy for an address, by `https_proxy` or `http_proxy`, `all_proxy` and `no_proxy`, in capitals too.

    This machine's own servers are never asked through one.

    Raises:
        InputError: it is one that cannot be used.
    """
    parts = urlsplit(address)
    if _is_own(parts.hostname or "") or _is_excepted(parts, _read(environment, "no_proxy")[1]):
        return None
    for kind in (parts.scheme, "all"):
        variable, url = _read(environment, f"{kind}_proxy")
        if url:
            proxy = Proxy(variable=variable, url=url if "://" in url else f"http://{url}")
            _check(proxy, parts.hostname or "")
            return proxy
    return None


def _read(environment: Mapping[str, str], name: str) -> tuple[str, str]:
    """Name and value of a variable; in small letters it counts before the one in capitals."""
    for variable in (name, name.upper()):
        if variable in environment:
            return variable, environment[variable].strip()
    return name, ""


def _check(proxy: Proxy, host: str) -> None:
    otherwise = f"unset it, or add {host} to NO_PROXY"
    try:
        parts = urlsplit(proxy.url)
        usable = parts.scheme in _SCHEMES and is_host(parts.hostname or "")
        _ = parts.port
    except ValueError:
        raise InputError(f"{proxy.variable} must be the URL of a proxy; {otherwise}") from None
    if not usable:
        raise InputError(
            f"{proxy.variable} names the proxy {proxy.shown}, of a kind that cannot be used (of use are "
            f"{', '.join(_SCHEMES)}); set it otherwise, {otherwise}"
        )
    if parts.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise InputError(
            f"{proxy.variable} names the proxy {proxy.shown}, for which the package socksio is missing; install it, "
            f"{otherwise}"
        )


def _is_own(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    number = _number(host)
    return number is not None and (number.is_loopback or number.is_unspecified)


def _is_excepted(parts: SplitResult, exceptions: str) -> bool:
    host = parts.hostname or ""
    port = parts.port or PORTS.get(parts.scheme)
    entries = [entry.strip().lower().rpartition("://")[2] for entry in exceptions.replace(" ", ",").split(",")]
    return any(entry == "*" or _names(entry, host, port) for entry in entries if entry)


def _names(entry: str, host: str, port: int | None) -> bool:
    """Whether an entry of `no_proxy` is this host, a domain or a network that it is in."""
    number = _number(host)
    if number is not None:
        try:
            return number in ipaddress.ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            pass
    name, colon, digits = entry.rpartition(":")
    if colon and digits.isdecimal() and (":" not in name or name.endswith("]")):
        return int(digits) == port and _names(name, host, port)
    domain = entry.removeprefix("*").lstrip(".")
    return host == domain or host.endswith(f".{domain}")


def _number(host: str) -> "ipaddress.IPv4Address | ipaddress.IPv6Address | None":
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
