"""The parts of an endpoint that ask nobody: its address, its proxy, and how long a server asks to wait."""

import email.utils
import itertools

import pytest

from storm_core.errors import InputError
from storm_core.judging.config import ScoreConfig
from storm_core.judging.engines.endpoint import Endpoint
from storm_core.judging.engines.endpoint_address import base_url
from storm_core.judging.engines.endpoint_failures import read_failure, read_wait
from storm_core.judging.engines.endpoint_proxy import find_proxy

SPELLINGS = ["", "/", "//", "/chat/completions", "/completions", "/chat/completions/"]


@pytest.mark.parametrize("end", SPELLINGS)
@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("HTTP://LocalHost:8000/v1", "http://localhost:8000/v1"),
        ("https://Host:443/api/v1", "https://host/api/v1"),
        ("http://host:80", "http://host"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        (" http://host/V1", "http://host/V1"),
    ],
)
def test_one_server_has_one_address_however_it_is_written(written, plain, end):
    assert base_url(written + end) == plain
    assert Endpoint(ScoreConfig(engine="openai", endpoint=written + end)).address == plain


def test_two_servers_have_two_addresses():
    written = [
        "http://a/v1",
        "http://a:8000/v1",
        "https://a/v1",
        "http://b/v1",
        "http://a/v2",
        "http://a/completions/v1",
    ]
    assert len(set(map(base_url, written))) == len(written)


PROXY = "http://proxy.corp:3128"


@pytest.mark.parametrize(
    ("address", "excepted"),
    [
        ("http://localhost:8000/v1", ""),
        ("http://127.0.0.1:8000/v1", ""),
        ("http://127.1.2.3/v1", ""),
        ("https://[::1]:8000/v1", ""),
        ("http://judge.corp/v1", "judge.corp"),
        ("http://judge.corp/v1", "other, JUDGE.corp"),
        ("http://judge.corp/v1", ".corp"),
        ("http://judge.corp/v1", "*.corp"),
        ("http://judge.corp/v1", "corp"),
        ("http://judge.corp/v1", "*"),
        ("http://judge.corp:8000/v1", "judge.corp:8000"),
        ("http://10.1.2.3/v1", "10.0.0.0/8"),
        ("http://10.1.2.3:80/v1", "10.1.2.3:80"),
        ("http://[fd00::5]:80/v1", "fd00::/8"),
    ],
)
@pytest.mark.parametrize("bad", [PROXY, "socks5://proxy:1", "socks://proxy:1/", "nonsense://x"])
def test_an_endpoint_that_needs_no_proxy_is_asked_without(address, excepted, bad):
    for name, no in itertools.product(("ALL_PROXY", "http_proxy", "HTTPS_PROXY"), ("NO_PROXY", "no_proxy")):
        assert find_proxy(address, {name: bad, no: excepted}) is None


@pytest.mark.parametrize("excepted", ["", "other", "judge.corporation", "xjudge.corp", "judge.corp:1", "10.0.0.0/8"])
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("url", [PROXY, "proxy.corp:3128", "http://me:secret@proxy.corp:3128"])
def test_another_endpoint_is_asked_through_the_proxy_of_the_environment(variable, url, excepted):
    proxy = find_proxy("http://judge.corp/v1", {variable: url, "NO_PROXY": excepted, "HTTPS_PROXY": "http://wrong"})
    assert proxy is not None
    assert (proxy.variable, proxy.shown) == (variable, PROXY)


@pytest.mark.parametrize(
    "url", ["socks5://me:secret@proxy:1", "socks://me:secret@proxy:1/", "socks4://proxy:1", "http://", "http://x:y"]
)
@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
def test_a_proxy_that_cannot_be_used_is_an_error_that_names_the_variable(monkeypatch, variable, url):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=f"^{variable} .*add judge.corp to NO_PROXY") as caught:
        find_proxy("http://judge.corp/v1", {variable: url})
    assert "secret" not in str(caught.value)


NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": email.utils.formatdate(NOW + 90, usegmt=True)}, 90.0),
        ({"retry-after": email.utils.formatdate(NOW - 90, usegmt=True)}, None),
        ({"retry-after": "20s"}, 20.0),
        ({"retry-after": "6m0s"}, 360.0),
        ({"retry-after": "1h2m3.5s"}, 3723.5),
        ({"retry-after": "250ms"}, 0.25),
        ({"retry-after": "s"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
    ],
)
def test_a_wait_is_read_as_seconds_or_as_a_date(headers, seconds):
    assert read_wait(headers, NOW) == seconds


@pytest.mark.parametrize(
    "content",
    [
        b'{"choices": [{"text": "4"}]}',
        b'{"choices": [{"text": "4"}], "error": null}',
        b'{"choices": []}',
        b"<html>",
        b"",
        b"[]",
        b'{"message": "welcome"}',
    ],
)
def test_what_says_no_error_is_no_failure(content):
    assert read_failure(200, {}, content) is None
