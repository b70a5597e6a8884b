"""Images for a mirror: all that a run needs, by digest."""

import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from components import images
from pipelines.__main__ import main
from pipelines.submission import mirror

DIGEST = "sha256:" + "0" * 64
INDEX = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
INDEX_DIGEST = "sha256:" + hashlib.sha256(INDEX).hexdigest()
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


class Registry(ThreadingHTTPServer):
    """Hands out one manifest, `kubeflow/kfp-driver:2.17.0`, to who has the token that it gives anybody for it.

    Attributes:
        content_type: what it calls the manifest.
        challenge: whether it says where tokens are to be had.
        token_status: how it answers who wants one.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.content_type = INDEX_TYPE
        self.challenge = True
        self.token_status = 200

    @property
    def host(self) -> str:
        """What an image's name begins with."""
        return f"127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/token":
            scope = parse_qs(url.query)["scope"][0]
            self._answer(self.server.token_status, json.dumps({"token": f"for {scope}"}).encode())
        elif self.headers.get("Authorization") != "Bearer for repository:kubeflow/kfp-driver:pull":
            where = f'realm="http://{self.server.host}/token",service="r",scope="repository:kubeflow/kfp-driver:pull"'
            self._answer(401, b"{}", {"WWW-Authenticate": f"Bearer {where}" if self.server.challenge else "Basic"})
        elif url.path == "/v2/kubeflow/kfp-driver/manifests/2.17.0" and INDEX_TYPE in self.headers["Accept"]:
            self._answer(200, INDEX, {"Content-Type": self.server.content_type})
        else:
            self._answer(404, b"{}")

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    server = Registry()
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(mirror, "KFP_IMAGES", (f"{server.host}/kubeflow/kfp-driver:2.17.0",))
    yield server
    server.shutdown()
    server.server_close()


def listed(capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[list[str], str]:
    """The images of a GPU's profile, and what was said of them."""
    assert main(["images", "--profile", "one-gpu", *flags]) == 0
    names, told = capsys.readouterr()
    return names.splitlines(), told


def test_every_image_is_listed_by_digest(
    registry: Registry, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    named = [*images.IMAGES, *images.CUDA_OF.values()]
    metadata = {name: {"image.name": f"r/{name}", "containerimage.digest": DIGEST} for name in named}
    (tmp_path / "digests.json").write_text(json.dumps(metadata))
    names, told = listed(capsys, "--registry", "ghcr.io/us", "--digests", str(tmp_path / "digests.json"))
    *ours, driver = names
    assert len(ours) == 4
    assert all(name.startswith("ghcr.io/us/") and name.endswith("@" + DIGEST) for name in ours)
    assert driver == f"{registry.host}/kubeflow/kfp-driver:2.17.0@{INDEX_DIGEST}"
    assert not told


def test_images_of_no_registry_keep_their_tag_and_it_is_said(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    names, told = listed(capsys)
    assert "storm-core:0.1.0" in names
    assert "warning: storm-core:0.1.0 is named by tag: its name has no registry; ours get one by --registry" in told
    assert names[-1].endswith(INDEX_DIGEST)


def test_registry_that_tells_nothing_stops_nothing(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    def keeps_its_tag() -> str:
        names, told = listed(capsys)
        assert names[-1].endswith("/kubeflow/kfp-driver:2.17.0")
        return told.splitlines()[-1]

    registry.token_status = 403
    assert "is not public: its token is refused with 403" in keeps_its_tag()
    registry.challenge = False
    assert "asks for a login" in keeps_its_tag()
    registry.challenge, registry.token_status, registry.content_type = True, 200, "text/html"
    assert "is no registry: it answers with text/html" in keeps_its_tag()
    registry.server_close()
    registry.shutdown()
    assert f"{registry.host} does not answer (ConnectionError)" in keeps_its_tag()


def test_image_that_the_registry_lacks_keeps_its_tag(
    registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "KFP_IMAGES", (f"{registry.host}/kubeflow/kfp-driver:9",))
    names, told = listed(capsys)
    assert names[-1] == f"{registry.host}/kubeflow/kfp-driver:9"
    assert "manifests/9 answers 404 Not Found" in told


def test_netrc_is_not_sent(
    registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert listed(capsys)[0][-1].endswith(INDEX_DIGEST)


def test_kfp_and_argo_have_their_images_in_the_list() -> None:
    assert [name.rpartition("/")[2].partition(":")[0] for name in mirror.KFP_IMAGES] == [
        "kfp-driver",
        "kfp-launcher",
        "argoexec",
    ]
