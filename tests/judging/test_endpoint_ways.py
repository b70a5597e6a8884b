"""The way to a judge's server: its address, the key, redirects and proxies."""

import json

import pytest

from storm_core.errors import InputError
from storm_core.judging.config import ScoreConfig
from storm_core.judging.engines.endpoint import Endpoint
from tests.judging.judge_stand_in import KEY, config_for, contexts_of, drawn_examples, engine_for, stand_in


@pytest.fixture
def contexts(tiny_judge, draw):
    return contexts_of(tiny_judge, drawn_examples(draw, 2)[1])


@pytest.mark.parametrize(
    "address",
    [
        "localhost:8000",
        "ftp://host/v1",
        "https://me:secret@host/v1",
        "http://host/v1?key=secret",
        "http:///v1",
        "http://[::1/v1",
        "http://host..name/v1",
        "http://my host/v1",
        f"http://{'a' * 64}.org/v1",
        "http://\U0001f600.org/v1",
    ],
)
def test_address_that_is_none_or_carries_a_secret_is_refused(address):
    with pytest.raises(InputError, match="endpoint must be"):
        Endpoint(ScoreConfig(engine="openai", endpoint=address))


@pytest.mark.parametrize("around", ["%s\n", " %s\r\n"])
def test_space_around_the_key_is_dropped(server, tiny_judge, contexts, monkeypatch, around):
    monkeypatch.setenv("OPENAI_API_KEY", around % KEY)
    with engine_for(server, tiny_judge) as engine:
        engine.read(contexts[:1]).ask(tiny_judge.educational_value)
    assert server.requests[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("key", ["\n", f"{KEY}\n{KEY}", f"{KEY}é"])
def test_a_key_that_is_none_is_refused_and_not_shown(monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(InputError, match="OPENAI_API_KEY must hold a key of printable ASCII") as caught:
        Endpoint(ScoreConfig(engine="openai"))
    assert KEY not in str(caught.value)


def test_key_comes_from_the_environment_and_goes_into_the_header_alone(server, tiny_judge, contexts):
    config = config_for(server)
    with engine_for(server, tiny_judge) as engine:
        engine.read(contexts[:1]).ask(tiny_judge.educational_value)
    for request in server.requests:
        assert request.pop("authorization") == f"Bearer {KEY}"
        assert request["accept-encoding"] == "identity"
        assert KEY not in json.dumps(request)
    assert KEY not in repr(config)


def test_a_key_that_is_missing_is_said(server, tiny_judge, draw, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    server.instead = lambda body: (401, b'{"error": {"message": "No API key was given"}}')
    _, examples = drawn_examples(draw, 2)
    message = "answers 401: No API key was given; OPENAI_API_KEY is not set"
    with engine_for(server, tiny_judge) as engine, pytest.raises(InputError, match=message):
        engine.read(contexts_of(tiny_judge, examples)).ask(tiny_judge.educational_value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("same", [True, False])
def test_nothing_is_sent_on_to_another_address(server, tiny_judge, draw, status, same):
    _, examples = drawn_examples(draw, 2)
    with stand_in() as other:
        there = server if same else other
        place = f"{there.url.removesuffix('/v1')}/there/v1/completions?token=secret"
        server.headers = {"Location": place}
        server.instead = lambda body: None if server.requests[-1]["path"].startswith("/there") else (status, b"moved")
        with engine_for(server, tiny_judge) as engine:
            reading = engine.read(contexts_of(tiny_judge, examples))
            if same and status in (307, 308):
                assert all(answer.is_answer for answer in reading.ask(tiny_judge.educational_value))
                return
            with pytest.raises(InputError, match=f"answers {status} and sends on to {place.partition('/comp')[0]},"):
                reading.ask(tiny_judge.educational_value)
        assert other.requests == [] and len(server.requests) == 1


@pytest.fixture
def no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "socks://127.0.0.1:9/", "http://127.0.0.1:9"])
def test_a_server_on_this_machine_is_asked_without_the_proxy(server, tiny_judge, draw, monkeypatch, proxy):
    monkeypatch.setenv("ALL_PROXY", proxy)
    _, examples = drawn_examples(draw, 2)
    with engine_for(server, tiny_judge) as engine:
        assert all(
            a.is_answer for a in engine.read(contexts_of(tiny_judge, examples)).ask(tiny_judge.educational_value)
        )


@pytest.mark.usefixtures("no_proxies")
def test_another_server_is_asked_through_the_proxy_which_an_error_names(server, tiny_judge, draw, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", server.url.removesuffix("/v1").replace("//", "//me:secret@"))
    _, examples = drawn_examples(draw, 2)
    contexts = contexts_of(tiny_judge, examples)
    with engine_for(server, tiny_judge, endpoint="http://judge.invalid/v1") as engine:
        assert all(answer.is_answer for answer in engine.read(contexts).ask(tiny_judge.educational_value))
    assert {body["path"] for body in server.requests} == {"http://judge.invalid/v1/completions"}
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:9")
    options = {"endpoint": "http://judge.invalid/v1", "endpoint_retries": 0}
    message = "cannot be reached through the proxy http://127.0.0.1:9 of HTTP_PROXY: "
    with engine_for(server, tiny_judge, **options) as engine, pytest.raises(InputError, match=message) as caught:
        engine.read(contexts).ask(tiny_judge.educational_value)
    assert "secret" not in str(caught.value)
