"""Servers that speak S3, but not all of today's Amazon: a store works there, or says in one line what is missing."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from storm_core.errors import StoreError
from storm_core.stores.downloads import RANGE_BYTES
from storm_core.stores.references import open_store
from tests.stores.conftest import S3Place, Storm, make, write_tree
from tests.stores.fault_proxy import Exchange, Fault, FaultProxy, Response

ALWAYS = 10_000
_REQUESTS = {
    "look": ("GET", r"manifest\.json$"),
    "head": ("HEAD", ".*"),
    "list": ("GET", "list-type=2"),
    "put": ("PUT", ".*"),
}


@dataclass(frozen=True, kw_only=True)
class Quirk:
    """What a server does otherwise, and what is said of it; None where the store works all the same."""

    fault: Callable[[S3Place], Fault]
    said: str | None = None


def refusing(is_meant: Callable[[Exchange], bool], status: int, code: str, message: str) -> Callable[[S3Place], Fault]:
    """The server refuses such requests with this status, code and message."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()

    def fault(exchange: Exchange) -> None:
        if is_meant(exchange):
            exchange.answer(Response(status=status, headers=[("Content-Type", "application/xml")], body=body))
        else:
            exchange.answer(exchange.forward())

    return lambda _: fault


def has_checksum(exchange: Exchange) -> bool:
    names = {name.lower() for name, _ in exchange.request.headers}
    return any(name.startswith(("x-amz-checksum", "x-amz-trailer", "x-amz-sdk-checksum")) for name in names)


def is_conditional(exchange: Exchange) -> bool:
    return bool(exchange.request.header("If-None-Match"))


def without_conditions(_: S3Place) -> Fault:
    """What is there already is taken for written, as a server does that knows no condition."""

    def fault(exchange: Exchange) -> None:
        answer = exchange.forward()
        over = Response(status=200, headers=[("ETag", '"0"')], body=b"")
        exchange.answer(over if is_conditional(exchange) and answer.status == 412 else answer)

    return fault


def without_ranges(place: S3Place) -> Fault:
    """Whoever asks for a range is given all of the object."""

    def fault(exchange: Exchange) -> None:
        if not exchange.request.header("Range"):
            exchange.answer(exchange.forward())
            return
        content = place.read(unquote(urlsplit(exchange.request.path).path).removeprefix(f"/{place.bucket}/"))
        exchange.answer(Response(status=200, headers=[("ETag", '"0"')], body=content))

    return fault


def answering(status: int, body: bytes, headers: Mapping[str, str]) -> Callable[[S3Place], Fault]:
    return lambda _: lambda exchange: exchange.answer(Response(status=status, headers=[*headers.items()], body=body))


_PAGE = b"<html><head><title>Sign in</title></head></html>"
_MOVED = b"<?xml version='1.0'?><Error><Code>PermanentRedirect</Code><Endpoint>other.example:9000</Endpoint></Error>"
_REFUSAL = "has no conditional writes"
QUIRKS = {
    "no checksums, XAmzContentSHA256Mismatch": Quirk(
        fault=refusing(has_checksum, 400, "XAmzContentSHA256Mismatch", "does not match")
    ),
    "no checksums, NotImplemented": Quirk(fault=refusing(has_checksum, 501, "NotImplemented", "A header")),
    "no conditions, 501": Quirk(fault=refusing(is_conditional, 501, "NotImplemented", "A header"), said=_REFUSAL),
    "no conditions, 400": Quirk(
        fault=refusing(is_conditional, 400, "InvalidArgument", "If-None-Match is not supported"), said=_REFUSAL
    ),
    "conditions ignored": Quirk(fault=without_conditions),
    "ranges ignored": Quirk(fault=without_ranges, said="ignores Range"),
    "clock": Quirk(fault=refusing(lambda _: True, 403, "RequestTimeTooSkewed", "too large"), said="the clock of this"),
    "token": Quirk(fault=refusing(lambda _: True, 400, "ExpiredToken", "has expired"), said="AWS_SESSION_TOKEN"),
    "redirect in XML": Quirk(fault=answering(301, _MOVED, {}), said="redirects the request to other.example:9000"),
    **{
        f"redirect {status}": Quirk(
            fault=answering(status, _PAGE, {"Location": "https://other.example/x?y"}),
            said="redirects the request to https://other.example/x; set AWS_ENDPOINT_URL",
        )
        for status in (301, 302, 307, 308)
    },
    **{
        f"page {status}": Quirk(fault=answering(status, _PAGE, {"Content-Type": "text/html"}), said=said)
        for status, said in {
            401: "HTTP 401; it, or what stands before it, asks for a log-in",
            404: "HTTP 404; does AWS_ENDPOINT_URL name the S3 server",
            407: "HTTP 407; a proxy asks for a user",
            413: "HTTP 413; it, or what stands before it, takes no request of this size",
        }.items()
    },
    "another region": Quirk(
        fault=refusing(lambda _: True, 400, "AuthorizationHeaderMalformed", "expecting 'eu-west-3'"),
        said="set AWS_REGION to the region of the bucket",
    ),
    "redirect without an address": Quirk(fault=answering(307, b"", {}), said="redirects the request; set AWS_ENDPOINT"),
}


@pytest.mark.parametrize("name", QUIRKS)
def test_store_works_or_says_in_one_line_what_the_server_lacks(
    name: str, proxy: FaultProxy, place: S3Place, storm: Storm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quirk = QUIRKS[name]
    directory = write_tree(tmp_path / "model", {"config.json": 700, "model.safetensors": RANGE_BYTES + 1, "empty": 0})
    proxy.spoil(quirk.fault(place), times=ALWAYS)
    code, said, errors = storm("push", str(directory), "--kind", "model")
    if code == 0:
        monkeypatch.setenv("STORM_CACHE", str(tmp_path / "other cache"))
        code, said, errors = storm("pull", said.split()[-1], str(tmp_path / "back"))
    assert (code == 0) == (quirk.said is None), errors
    if quirk.said:
        assert "Traceback" not in errors
        assert quirk.said in errors.strip().splitlines()[-1]
    else:
        assert (tmp_path / "back" / "config.json").read_bytes() == (directory / "config.json").read_bytes()


@pytest.mark.parametrize("request_name", _REQUESTS)
def test_page_in_the_place_of_an_answer_is_named(
    request_name: str, proxy: FaultProxy, place: S3Place, storm: Storm, small_tree: Path
) -> None:
    method, path = _REQUESTS[request_name]
    proxy.spoil(answering(200, _PAGE, {"Content-Type": "text/html"})(place), method=method, path=path, times=ALWAYS)
    code, _, errors = storm("push", str(small_tree), "--kind", "model")
    # A page has no hash in its headers, so that what a HEAD asks for is simply sent.
    assert (code == 0) == (request_name == "head"), errors
    assert code == 0 or "answers, but not as an S3 server does" in errors.strip().splitlines()[-1]


def test_page_in_the_place_of_what_is_written_once_is_named(proxy: FaultProxy, place: S3Place) -> None:
    proxy.spoil(answering(200, _PAGE, {"Content-Type": "text/html"})(place), method="PUT", times=ALWAYS)
    with pytest.raises(StoreError, match="answers, but not as an S3 server does"):
        open_store(place.uri).ledger.put_first("one", {})


def test_file_of_one_range_is_read_from_a_server_without_ranges(
    proxy: FaultProxy, place: S3Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storm: Storm
) -> None:
    uri = make(place.uri, "model", b"small")
    proxy.spoil(without_ranges(place), times=ALWAYS)
    monkeypatch.setenv("STORM_CACHE", str(tmp_path / "other cache"))
    assert storm("pull", uri, str(tmp_path / "back"))[0] == 0


def test_server_that_ignores_conditions_is_named_once(
    proxy: FaultProxy, place: S3Place, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = open_store(place.uri).ledger
    proxy.spoil(without_conditions(place), times=ALWAYS)
    for key in ("one", "two"):
        assert ledger.put_first(key, {"a": 1}) == {"a": 1}
    assert capsys.readouterr().err.count("ignores If-None-Match") == 1


def test_server_with_conditions_is_not_warned_of(place: S3Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert open_store(place.uri).ledger.put_first("one", {"a": 1}) == {"a": 1}
    assert "If-None-Match" not in capsys.readouterr().err


def test_server_whose_clock_cannot_be_read_is_named(proxy: FaultProxy, place: S3Place) -> None:
    def without_date(exchange: Exchange) -> None:
        answer = exchange.forward()
        others = [(name, value) for name, value in answer.headers if name.lower() != "date"]
        for written in ([], [("Date", "today")]):
            exchange.answer(Response(status=answer.status, headers=[*others, *written], body=answer.body))
            return

    ledger = open_store(place.uri).ledger
    ledger.put_first("leases/one", {})
    proxy.spoil(without_date, times=ALWAYS)
    with pytest.raises(StoreError, match=r"no Date|no date"):
        ledger.ages("leases")


def test_lease_on_a_server_without_conditions_fails_before_any_work(proxy: FaultProxy, place: S3Place) -> None:
    proxy.spoil(QUIRKS["no conditions, 501"].fault(place), times=ALWAYS)
    with pytest.raises(StoreError, match=_REFUSAL):
        open_store(place.uri).ledger.put_first("leases/one", {})


def test_checksums_are_sent_unless_a_person_wants_none(
    proxy: FaultProxy, place: S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for asked, expected in (("", True), ("when_required", False)):
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", asked or "when_supported")
        proxy.forget()
        open_store(place.uri).remember(os.urandom(4).hex(), {"a": 1})
        (sent,) = proxy.requests("PUT")
        assert any("checksum" in name.lower() for name, _ in sent.request.headers) == expected
