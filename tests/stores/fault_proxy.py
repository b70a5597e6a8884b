"""A proxy between an S3 client and its server that counts requests and spoils the ones it is told to spoil.

Requests are passed on as they came, their Host header too, so that signatures stay right.
"""

import contextlib
import http.client
import os
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

# Fields of one connection, which the two sides of a proxy settle for themselves.
_OF_A_CONNECTION = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "expect"})


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the client sent. `path` holds the query too, both as they were escaped."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header, or an empty string."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


@dataclass(frozen=True, kw_only=True)
class Response:
    """What the server answered. `body` is empty for a HEAD, whose `headers` hold a length all the same."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Passed:
    """A request that went through the proxy. `status` is 0 where the client got no answer."""

    request: Request
    status: int
    body_bytes: int


class Exchange:
    """One request and the means to answer it; a fault is a function of this."""

    def __init__(self, handler: "_Handler", request: Request, proxy: "FaultProxy") -> None:
        self.request = request
        self.proxy = proxy
        self._handler = handler

    def forward(self, request: Request | None = None) -> Response:
        """The server's answer to the request, or to another one in its place."""
        return self.proxy.ask_server(request or self.request)

    def answer(self, response: Response, keep_bytes: int | None = None) -> None:
        """Send the answer; with `keep_bytes` only that much of its body, under the full length, and hang up."""
        self.proxy.remember(Passed(request=self.request, status=response.status, body_bytes=len(response.body)))
        self._handler.send(response, self.request.method, keep_bytes)

    def reset(self) -> None:
        """Drop the connection with a TCP reset."""
        self.proxy.remember(Passed(request=self.request, status=0, body_bytes=0))
        self._handler.reset()


Fault = Callable[[Exchange], None]


@dataclass(kw_only=True)
class _Rule:
    fault: Fault
    method: re.Pattern[str]
    path: re.Pattern[str]
    left: int = field(default=1)
    skip: int = field(default=0)


class FaultProxy:
    """The running proxy; `endpoint` is its address. Use it as a context manager."""

    def __init__(self, server_endpoint: str) -> None:
        self._server = urlsplit(server_endpoint).netloc
        self._rules: list[_Rule] = []
        self._passed: list[Passed] = []
        self._lock = threading.Lock()
        self.failures: list[BaseException] = []
        self.closed = threading.Event()
        self._listener = _Listener(("127.0.0.1", 0), _Handler)
        self._listener.proxy = self
        self.endpoint = f"http://127.0.0.1:{self._listener.server_port}"
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        self._listener.shutdown()
        self._thread.join()
        self._listener.close_connections()
        self._listener.server_close()

    def spoil(self, fault: Fault, *, method: str = ".*", path: str = ".*", times: int = 1, skip: int = 0) -> None:
        """Apply `fault` to the next `times` requests whose method and path match, after letting `skip` of them pass.

        `method` must match wholly; `path`, a pattern on path and query, anywhere.
        """
        rule = _Rule(fault=fault, method=re.compile(method), path=re.compile(path), left=times, skip=skip)
        with self._lock:
            self._rules.append(rule)

    def requests(self, method: str = ".*", path: str = ".*") -> list[Passed]:
        """What went through so far and matches, in order of the answers."""
        with self._lock:
            passed = list(self._passed)
        return [one for one in passed if re.fullmatch(method, one.request.method) and re.search(path, one.request.path)]

    def bytes_sent(self, path: str = ".*") -> int:
        """Bytes of content that the server accepted from the client."""
        return sum(len(one.request.body) for one in self.requests("PUT", path) if one.status == 200)

    def bytes_fetched(self, path: str = ".*") -> int:
        """Bytes of content that the client was given."""
        return sum(one.body_bytes for one in self.requests("GET", path) if one.status in (200, 206))

    def unused_faults(self) -> int:
        """How many faults were ordered and not yet met by a request."""
        with self._lock:
            return sum(rule.left for rule in self._rules)

    def wait_until_left_alone(self) -> None:
        """Return when every client hung up, or died, and what it asked for has been done."""
        deadline = time.monotonic() + 60
        while self._listener.connections:
            assert time.monotonic() < deadline, "a client keeps its connection open"
            time.sleep(0.005)

    def forget(self) -> None:
        """Count from here; rules not used up are dropped."""
        with self._lock:
            self._passed.clear()
            self._rules.clear()

    def handle(self, exchange: Exchange) -> None:
        """Apply the rule that fits the request, or pass it on."""
        fault = self._take_fault(exchange.request)
        if fault:
            fault(exchange)
        else:
            exchange.answer(exchange.forward())

    def remember(self, passed: Passed) -> None:
        """Count a request."""
        with self._lock:
            self._passed.append(passed)

    def ask_server(self, request: Request) -> Response:
        """The server's own answer."""
        connection = http.client.HTTPConnection(self._server, timeout=120)
        try:
            connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers:
                if name.lower() not in _OF_A_CONNECTION:
                    connection.putheader(name, value)
            if request.body or request.method in ("PUT", "POST"):
                connection.putheader("Content-Length", str(len(request.body)))
            connection.endheaders(request.body or None)
            answer = connection.getresponse()
            return Response(status=answer.status, headers=answer.getheaders(), body=answer.read())
        finally:
            connection.close()

    def _take_fault(self, request: Request) -> Fault | None:
        with self._lock:
            for rule in self._rules:
                if rule.left and rule.method.fullmatch(request.method) and rule.path.search(request.path):
                    if rule.skip:
                        rule.skip -= 1
                        continue
                    rule.left -= 1
                    return rule.fault
        return None


def answer_error(status: int, code: str) -> Fault:
    """The server is not asked; the client gets this HTTP status and S3 error code."""
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>told to</Message></Error>'
    response = Response(status=status, headers=[("Content-Type", "application/xml")], body=text.encode())
    return lambda exchange: exchange.answer(response)


def reset_before() -> Fault:
    """The connection is reset and the server never hears of the request."""
    return lambda exchange: exchange.reset()


def reset_after() -> Fault:
    """The server does what it was asked; the connection is reset before the client learns so."""

    def fault(exchange: Exchange) -> None:
        exchange.forward()
        exchange.reset()

    return fault


def truncate(keep_bytes: int) -> Fault:
    """The answer's body ends early, under its full length."""
    return lambda exchange: exchange.answer(exchange.forward(), keep_bytes)


def stall(seconds: float) -> Fault:
    """Nothing comes for so long; then the request is passed on as usual, if anybody still waits."""

    def fault(exchange: Exchange) -> None:
        exchange.proxy.closed.wait(seconds)
        exchange.answer(exchange.forward())

    return fault


def corrupt_response(position: int) -> Fault:
    """One byte of the answer's body is another one."""

    def fault(exchange: Exchange) -> None:
        answer = exchange.forward()
        exchange.answer(Response(status=answer.status, headers=answer.headers, body=flip(answer.body, position)))

    return fault


def corrupt_request(position: int) -> Fault:
    """One byte of the request's body is another one when it reaches the server."""

    def fault(exchange: Exchange) -> None:
        asked = exchange.request
        spoiled = Request(method=asked.method, path=asked.path, headers=asked.headers, body=flip(asked.body, position))
        exchange.answer(exchange.forward(spoiled))

    return fault


def do_first(action: Callable[[], Any]) -> Fault:
    """Something happens just before the server hears of the request, such as a rival's publishing."""

    def fault(exchange: Exchange) -> None:
        action()
        exchange.answer(exchange.forward())

    return fault


def flip(content: bytes, position: int) -> bytes:
    """The bytes with one of them changed."""
    changed = bytearray(content)
    changed[position] ^= 0xFF
    return bytes(changed)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    proxy: FaultProxy

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Hang up on clients that keep their connections open."""
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        # A client that was killed or gave up is what the tests are about.
        if error is not None and not isinstance(error, ConnectionError):
            self.proxy.failures.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError("the client went away in the middle of its request")
        request = Request(method=self.command, path=self.path, headers=list(self.headers.items()), body=body)
        self.server.proxy.handle(Exchange(self, request, self.server.proxy))

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815 (the library's names)

    def send(self, response: Response, method: str, keep_bytes: int | None) -> None:
        """Write the response to the client."""
        length = str(len(response.body))
        self.send_response_only(response.status)
        for name, value in response.headers:
            if name.lower() == "content-length":
                length = value if method == "HEAD" else length
            elif name.lower() not in _OF_A_CONNECTION:
                self.send_header(name, value)
        if response.status != 204:
            self.send_header("Content-Length", length)
        self.end_headers()
        if method != "HEAD":
            self.wfile.write(response.body[:keep_bytes])
        self.wfile.flush()
        if keep_bytes is not None:
            self.close_connection = True

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        os.close(self.connection.detach())  # At once, without the polite shutdown that the library would send first.

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
