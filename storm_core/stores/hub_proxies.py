"""Proxies that the hub's client cannot use. It opens each that the environment names, before it asks anything."""

from importlib.util import find_spec
from urllib.parse import urlsplit
from urllib.request import getproxies

_PLAIN = ("http", "https")
_SOCKS = ("socks5", "socks5h")


def unusable_proxy() -> str | None:
    """The variable that names a proxy which the hub's client cannot use, and why, without its address; else None."""
    for kind, address in getproxies().items():
        scheme = urlsplit(address).scheme if "://" in address else "http"
        if kind not in (*_PLAIN, "all") or scheme in _PLAIN:
            continue
        variable = f"{kind}_proxy"
        if scheme in _SOCKS and find_spec("socksio") is None:
            return f"{variable} names a SOCKS proxy, which needs the package socksio"
        if scheme not in _SOCKS:
            return f"{variable} names a proxy of scheme {scheme!r}; one of {', '.join((*_PLAIN, *_SOCKS))} is known"
    return None
