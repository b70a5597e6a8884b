"""A stand-in for a Kubeflow Pipelines server: its HTTP interface over `kfp_state`, and its troubles.

It speaks what the generated client of kfp 2.17 sends, and answers errors as KFP's gateway and its upload handler do.
"""

import email
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.pipelines.kfp_state import Refused, State, not_found

_LISTS = {
    "pipelines": "pipelines",
    "experiments": "experiments",
    "runs": "runs",
    "recurringruns": "recurring_runs",
}
_FILTERED = ("name", "display_name", "created_at", "pipeline_id")


class KfpServer(ThreadingHTTPServer):
    """A server on a free port of this machine; use it as a context manager.

    Attributes:
        state: what it keeps.
        token: what a client must send, where users must say who they are.
        troubles: what happens instead of the next answers to requests that begin so: `drop`, `hang`, or a status.
        requests: what was asked, a line each.
    """

    daemon_threads = True

    def __init__(self, state: State | None = None, *, token: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = state or State()
        self.token = token
        self.troubles: list[tuple[str, str | int]] = []
        self.requests: list[str] = []
        self.before: Callable[[str], None] = lambda _line: None
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._lock = threading.Lock()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it; whoever asks then finds nobody."""
        self.shutdown()
        self.server_close()

    def trouble(self, begin: str, *what: str | int) -> None:
        """Let the next requests that begin so, such as `GET /apis/v2beta1/runs`, end otherwise, one after another."""
        self.troubles += [(begin, one) for one in what]

    def next_trouble(self, line: str) -> str | int | None:
        with self._lock:
            self.requests.append(line)
            for place, (begin, what) in enumerate(self.troubles):
                if line.startswith(begin):
                    del self.troubles[place]
                    return what
        return None


class _Handler(BaseHTTPRequestHandler):
    server: KfpServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_: Any) -> None:
        """Nothing: pytest shows what matters."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        line = f"{self.command} {urlsplit(self.path).path}"
        self.server.before(line)
        trouble = self.server.next_trouble(line)
        if trouble == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if trouble == "hang":
            time.sleep(1.0)
        try:
            if isinstance(trouble, int):
                raise Refused(trouble, 14, "Service unavailable")
            self._check_user()
            self._answer(200, self._route(body))
        except Refused as refused:
            self._answer(refused.status, self._error(refused))

    def _check_user(self) -> None:
        token = self.server.token
        cookie = self.headers.get("Cookie")
        if (
            token
            and self.headers.get("authorization") != f"Bearer {token}"
            and cookie != f"authservice_session={token}"
        ):
            raise Refused(401, 16, "Request header error: there is no user identity header.")

    def _route(self, body: bytes) -> dict[str, Any]:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = parts.path.removeprefix("/apis/v2beta1/")
        if path == "healthz":
            return self.server.state.health
        if self.command == "POST":
            return self._create(path, query, body)
        return self._get(path, query)

    def _create(self, path: str, query: dict[str, str], body: bytes) -> dict[str, Any]:
        state = self.server.state
        if path == "pipelines/upload_version":
            file_name, content = _uploaded(self.headers["Content-Type"], body)
            return state.upload_version(query.get("pipelineid", ""), query.get("name", file_name), file_name, content)
        makers = {
            "pipelines": state.create_pipeline,
            "experiments": state.create_experiment,
            "runs": state.create_run,
            "recurringruns": state.create_recurring_run,
        }
        if path not in makers:
            raise Refused(404, 5, "Not Found")
        return makers[path](json.loads(body))

    def _get(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        state = self.server.state
        if path in _LISTS:
            kept = getattr(state, _LISTS[path])
            # This one list is named in another way than all else.
            name = "recurringRuns" if path == "recurringruns" else path
            return _listed(name, list(kept.values()), query)
        if found := re.fullmatch(r"pipelines/([^/]+)/versions", path):
            mine = [one for one in state.versions.values() if one["pipeline_id"] == found[1]]
            return _listed("pipeline_versions", mine, query)
        if found := re.fullmatch(r"pipelines/[^/]+/versions/([^/]+)", path):
            return state.get(state.versions, "PipelineVersion", found[1])
        if found := re.fullmatch(r"runs/([^/]+)", path):
            return state.look_at(found[1])
        raise not_found("Path", path)

    def _error(self, refused: Refused) -> dict[str, Any]:
        if "/upload" in self.path:
            return {"error_message": refused.message, "error_details": refused.message}
        return {"error": refused.message, "code": refused.code, "message": refused.message, "details": []}

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        shown = {name: value for name, value in body.items() if not name.startswith("_")}
        content = json.dumps(shown).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _listed(name: str, kept: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """Those that the filter and the namespace leave; no list at all where none is left, as protobuf has it."""
    if "namespace" in query:
        kept = [one for one in kept if one.get("namespace", "") in ("", query["namespace"])]
    if "experiment_id" in query:
        kept = [one for one in kept if one["experiment_id"] == query["experiment_id"]]
    for predicate in json.loads(query.get("filter", "{}")).get("predicates", []):
        if predicate["key"] not in _FILTERED or predicate["operation"] not in (1, "EQUALS"):
            raise Refused(400, 3, f"no support for filtering on unrecognized field {predicate['key']!r}")
        kept = [one for one in kept if one.get(predicate["key"]) == predicate["stringValue"]]
    hidden = [{key: value for key, value in one.items() if not key.startswith("_")} for one in kept]
    return {name: hidden, "total_size": len(kept)} if kept else {}


def _uploaded(content_type: str, body: bytes) -> tuple[str, bytes]:
    """Name and content of the file in a form."""
    form = email.message_from_bytes(f"Content-Type: {content_type}\n\n".encode() + body, policy=policy.HTTP)
    for part in form.iter_parts():
        if part.get_param("name", header="content-disposition") == "uploadfile":
            return str(part.get_filename()), part.get_content()
    raise Refused(400, 3, "Failed to read pipeline from file")
