"""A small Hugging Face hub on localhost: the part of the HTTP interface that huggingface_hub reads models through.

Large files (`*.safetensors`, `*.bin`) are LFS files: the tree states their SHA-256, `resolve` redirects to
another host, as the real hub does to its storage. Faults are set by the tests, by file name.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

_LARGE = (".safetensors", ".bin")


@dataclass
class Repository:
    """Commits by their 40 hex digits, each a mapping of file names to content, and the commits that branches name."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    gated: bool = False

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Add a commit and move the branch to it; returns its name."""
        name = hashlib.sha1(repr(sorted(files.items())).encode(), usedforsecurity=False).hexdigest()
        self.commits[name] = files
        self.branches[branch] = name
        return name


@dataclass
class Hub:
    """The server's content, what it was asked, and what it does wrong.

    Attributes:
        requests: method, path and Range header of each request.
        tokens: the Authorization headers that arrived at the hub, and at its storage, which is another host.
        corrupted: files of which the body's first byte is flipped.
        cut: files of which the first answer breaks off half way.
        broken: answers every request with this status.
    """

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    tokens: dict[str, set[str | None]] = field(default_factory=lambda: {"hub": set(), "storage": set()})
    corrupted: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    broken: int | None = None

    def downloads(self) -> list[str]:
        """The names of the files whose content was asked for, in order."""
        return [path.rpartition("/")[2] for method, path, _ in self.requests if method == "GET" and "/api/" not in path]


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that answers until the block is left."""
    hub = Hub()

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        """Tests read `requests` instead."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.state.requests.append((self.command, path, self.headers.get("Range")))
        self.state.tokens["storage" if path.startswith("/storage/") else "hub"].add(self.headers.get("Authorization"))
        if self.state.broken:
            self._fail(self.state.broken, None)
        elif path.startswith("/storage/"):
            _, _, key, commit, name = path.split("/", 4)
            self._send_file(self.state.repositories[key.replace("--", "/")].commits[commit], commit, name)
        elif path.startswith("/api/"):
            self._answer_api(path)
        else:
            prefix, _, rest = path.strip("/").partition("/resolve/")
            commit, _, name = rest.partition("/")
            repository = self._repository(prefix, content=True)
            if repository:
                self._resolve(prefix, repository.commits[commit], commit, name)

    def _answer_api(self, path: str) -> None:
        kind, _, rest = path.removeprefix("/api/").partition("/")
        action = "tree" if "/tree/" in rest else "revision"
        name, _, revision = rest.partition(f"/{action}/")
        repository = self._repository(name if kind == "models" else f"{kind}/{name}", content=False)
        if not repository:
            return
        revision = revision or "main"
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            self._fail(404, "RevisionNotFound")
        elif action == "tree":
            self._send_json([_tree_entry(*item) for item in repository.commits[commit].items()])
        else:
            self._send_json({"id": name, "sha": commit, "siblings": []})

    def _repository(self, name: str, *, content: bool) -> Repository | None:
        """The repository, or None once a refusal was sent; a gated one lists its files but does not hand them out."""
        repository = self.state.repositories.get(name)
        authorized = repository and self.headers.get("Authorization") == f"Bearer {repository.token}"
        if repository is None:
            self._fail(401, "RepoNotFound")
        elif repository.gated and content and not authorized:
            self._fail(403, "GatedRepo")
        elif repository.token and not repository.gated and not authorized:
            known = "Authorization" in self.headers
            self._fail(403 if known else 401, None if known else "RepoNotFound")
        else:
            return repository
        return None

    def _resolve(self, key: str, files: dict[str, bytes], commit: str, name: str) -> None:
        if not name.endswith(_LARGE):
            self._send_file(files, commit, name)
            return
        self.send_response(302)
        storage = self.state.url.replace("127.0.0.1", "localhost")
        self.send_header("Location", f"{storage}/storage/{key.replace('/', '--')}/{commit}/{name}?signature=secret")
        self.send_header("X-Repo-Commit", commit)
        self.send_header("X-Linked-Etag", f'"{hashlib.sha256(files[name]).hexdigest()}"')
        self.send_header("X-Linked-Size", str(len(files[name])))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_file(self, files: dict[str, bytes], commit: str, name: str) -> None:
        content = files[name]
        etag = hashlib.sha256(content).hexdigest() if name.endswith(_LARGE) else git_id(content)
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        body = content[start:]
        if name in self.state.corrupted:
            body = bytes([body[0] ^ 1]) + body[1:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if name in self.state.cut:
            self.state.cut.discard(name)
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)

    def _send_json(self, answer: object) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, status: int, code: str | None) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def git_id(content: bytes) -> str:
    """What git calls a file of that content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _tree_entry(name: str, content: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": name, "size": len(content), "oid": git_id(content)}
    if name.endswith(_LARGE):
        sha256 = hashlib.sha256(content).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n".encode()
        entry["oid"] = git_id(pointer)
        entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": len(pointer)}
    return entry
