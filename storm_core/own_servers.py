"""Servers on this machine, such as a run's own, are reached without a proxy, whatever the environment says of proxies.

urllib, requests (MLflow's client) and botocore would ask a proxy even for localhost, and fail at one of a kind that
they cannot use. All of them look at `no_proxy`.
"""

import os
from typing import Any
from urllib.request import ProxyHandler, build_opener

_NAMES = ("localhost", "127.0.0.1", "::1", "[::1]")


def spare_own_servers(*hosts: str) -> None:
    """Except this machine and `hosts` from what goes through proxies, in this process and all that it starts."""
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    excepted = [entry.strip() for entry in given.split(",")]
    if excepted != ["*"]:  # That means all only where nothing stands beside it.
        excepted += [host for host in (*_NAMES, *hosts) if host not in excepted]
    # Under one name alone, a program that looks at the other first would find what was given there before.
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, excepted))


def open_directly(url: str, timeout_seconds: float = 5.0) -> Any:
    """The answer of a server on this machine, asked without a proxy even where `spare_own_servers` was not called.

    Raises:
        OSError: there is none, or it is an error.
    """
    return build_opener(ProxyHandler({})).open(url, timeout=timeout_seconds)
