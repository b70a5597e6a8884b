"""A server that answers every request alike, after a while, and counts them."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Refusals:
    """Where the server is, and what it was asked."""

    url: str = ""
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def answering(status: int, body: str, seconds: float = 0.0) -> Iterator[Refusals]:
    """A server that answers `status` and `body`."""
    seen = Refusals()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen.asked.append(self.path)
            time.sleep(seconds)
            with contextlib.suppress(ConnectionError):  # The client may have left.
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815 (named by http.server)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    seen.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
