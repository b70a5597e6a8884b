"""Servers on this machine are asked without a proxy, whatever the environment says of proxies."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import requests
from botocore.exceptions import ClientError
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from storm_core.own_servers import open_directly, spare_own_servers
from storm_core.stores.s3_client import make_client

PROXIES = ("http://127.0.0.1:9", "socks5://127.0.0.1:9", "socks://127.0.0.1:9/", "nonsense")
EXCEPTIONS: tuple[dict[str, str], ...] = (
    {},
    {"no_proxy": ""},
    {"NO_PROXY": "elsewhere.example"},
    {"no_proxy": "a.example", "NO_PROXY": "*"},
)
VARIABLES = [
    {f"{kind}_proxy": proxy for kind in kinds} | exceptions
    for proxy in PROXIES
    for kinds in (("http", "https", "all"), ("HTTP", "HTTPS", "ALL"), ("all",))
    for exceptions in EXCEPTIONS
]


class Answering(BaseHTTPRequestHandler):
    """Stands for a server of a run's own: answers whatever it is asked, and keeps what that was."""

    def do_GET(self) -> None:
        """Answer 418, which no proxy does."""
        self.send_response(418)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 (the base's)

    def log_message(self, format: str, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(params=VARIABLES, ids=lambda given: " ".join(f"{name}={value}" for name, value in given.items()))
def proxies(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in ("no_proxy", "NO_PROXY"):  # What the test adds is taken away after it.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in request.param.items():
        monkeypatch.setenv(name.upper() if name.isupper() else name, value)


@pytest.mark.usefixtures("proxies")
def test_own_server_is_reached_by_every_client(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://127.0.0.1:{port}"
    for name, value in {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(HTTPError, match="418"):
        open_directly(address)
    spare_own_servers()
    with pytest.raises(HTTPError, match="418"):
        urlopen(address)
    assert requests.get(address, timeout=10).status_code == 418
    with pytest.raises(ClientError, match="418"):
        make_client().head_bucket(Bucket="bucket")


def test_mlflow_of_this_machine_is_reached_past_a_proxy_for_all(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    spare_own_servers()
    with pytest.raises(MlflowException, match="418"):
        MlflowClient(f"http://127.0.0.1:{port}").get_run("0" * 32)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({}, "localhost,127.0.0.1,::1,[::1],172.17.0.1"),
        ({"NO_PROXY": "a.example, b.example"}, "a.example,b.example,localhost,127.0.0.1,::1,[::1],172.17.0.1"),
        ({"no_proxy": "localhost", "NO_PROXY": "b"}, "localhost,127.0.0.1,::1,[::1],172.17.0.1"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_what_was_excepted_stays_excepted(given: dict[str, str], left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, given.get(name, ""))
    for _ in range(2):
        spare_own_servers("172.17.0.1")
        assert (os.environ["no_proxy"], os.environ["NO_PROXY"]) == (left, left)
