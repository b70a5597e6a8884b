"""What is looked at before anything is submitted: images, addresses, references, secrets, flags."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import images
from pipelines.__main__ import main
from tests.pipelines.kfp_server import KfpServer
from tests.pipelines.submitting import STORE, kfp, only, recipe, s3, settings, submit

__all__ = ["kfp", "recipe", "s3", "settings"]
DIGEST = "sha256:" + "0" * 64


class Cluster(ThreadingHTTPServer):
    """Answers for the secrets of a cluster as the Kubernetes API does: data by name, or a status for everything."""

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Secrets)
        self.secrets: dict[str, dict[str, str]] = {}
        self.status: int | None = None
        self.kubeconfig = directory / "kubeconfig"
        address = {"server": f"http://127.0.0.1:{self.server_address[1]}"}
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "ours",
                    "clusters": [{"name": "ours", "cluster": address}],
                    "users": [{"name": "ours", "user": {}}],
                    "contexts": [{"name": "ours", "context": {"cluster": "ours", "user": "ours"}}],
                }
            )
        )
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Secrets(BaseHTTPRequestHandler):
    server: Cluster

    def do_GET(self) -> None:
        name = self.path.rpartition("/secrets/")[2]
        found = self.server.secrets.get(name) if "/namespaces/kubeflow/" in self.path else None
        status = self.server.status or (200 if found is not None else 404)
        body = json.dumps({"kind": "Secret", "metadata": {"name": name}, "data": found or {}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with Cluster(tmp_path) as running:
        monkeypatch.setenv("KUBECONFIG", str(running.kubeconfig))
        yield running


def add(recipe: Path, **arguments: Any) -> None:
    recipe.write_text(yaml.safe_dump({**yaml.safe_load(recipe.read_text()), **arguments}))


def test_images_without_a_digest_are_refused_unless_allowed(
    recipe: Path, kfp: KfpServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = ["submit", "--recipe", str(recipe), "--host", kfp.address, "--store", STORE]
    assert main(begin) == 1
    assert "not named by digest in a registry" in capsys.readouterr().err
    assert main([*begin, "--registry", "ghcr.io/us"]) == 1
    assert not kfp.requests
    metadata = {name: {"image.name": f"ghcr.io/us/{name}", "containerimage.digest": DIGEST} for name in images.IMAGES}
    (tmp_path / "digests.json").write_text(json.dumps(metadata))
    assert main([*begin, "--registry", "ghcr.io/us", "--digests", str(tmp_path / "digests.json")]) == 0
    assert DIGEST in json.dumps(only(kfp.state.versions))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"base_model": "file:///models/base"}, "base_model is file:///models/base, which is a path of this machine"),
        ({"prepare_sources": ["a=messages:file:///rows"]}, "prepare_sources is a=messages:file:///rows"),
        ({"base_model": "http://hub/model"}, "base_model: "),
        ({"base_model": "nowhere/at/all"}, "base_model: nowhere/at/all does not exist"),
        ({"score_engine": "openai"}, "score_endpoint is http://localhost:8000/v1, which leads a pod to itself"),
        ({"score_engine": "openai", "score_endpoint": "http://[::1]/v1"}, "leads a pod to itself"),
        ({"train_epochs": -1}, "train_epochs"),
        ({"train_epoch": 1}, "did you mean train_epochs?"),
    ],
)
def test_recipe_that_cannot_work_there_is_refused_before_anything_is_asked(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str], arguments: dict[str, Any], said: str
) -> None:
    add(recipe, **arguments)
    assert submit(recipe, kfp) == 1
    assert said in (told := capsys.readouterr().err)
    assert len(told.splitlines()) == 1
    assert not kfp.requests


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["--tracking-uri", "http://127.0.0.1:5000"],
            "the tracking URI is http://127.0.0.1:5000, which leads a pod to",
        ),
        (["--resubmit", "1"], "comes with --wait"),
        (["--wait", "--resubmit", "-1"], "--resubmit must be 0 or more"),
        (["--schedule", "0 0 1 1 1", "--wait"], "--wait is for a run"),
        (["--schedule", "whenever"], "--schedule must have five fields"),
        (["--schedule", ""], "--schedule must have five fields"),
        (["--host", "someone:secret@kfp"], "the address of KFP must hold no user or password"),
        (["--host", "http://someone:secret@kfp"], "the address of KFP must hold no user or password"),
    ],
)
def test_flags_that_cannot_work_are_refused_before_anything_is_asked(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    assert submit(recipe, kfp, *flags) == 1
    assert said in (told := capsys.readouterr().err)
    assert "secret@" not in told
    assert not kfp.requests


def test_without_a_store_nothing_is_submitted(recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "--recipe", str(recipe), "--host", kfp.address, "--allow-local-images"]) == 1
    assert "give --store" in capsys.readouterr().err


def test_bucket_that_is_not_there_is_an_error_in_words(
    recipe: Path, kfp: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(recipe, kfp, "--store", "s3://no-such-bucket") == 1
    assert "no-such-bucket" in (told := capsys.readouterr().err)
    assert "Traceback" not in told


def test_secrets_are_looked_for_in_the_cluster(
    recipe: Path, kfp: KfpServer, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--s3-secret", "our-s3", "--hub-secret", "our-hub")
    assert submit(recipe, kfp, *flags) == 1
    told = capsys.readouterr().err
    assert "namespace kubeflow of ours has no secret our-s3; no secret our-hub; make them" in told
    cluster.secrets = {"our-s3": {"AWS_ACCESS_KEY_ID": "eA=="}, "our-hub": {"HF_TOKEN": "eA=="}}
    assert submit(recipe, kfp, *flags) == 1
    assert "no key AWS_SECRET_ACCESS_KEY in the secret our-s3;" in capsys.readouterr().err
    assert not kfp.state.versions
    cluster.secrets["our-s3"] |= dict.fromkeys(["AWS_SECRET_ACCESS_KEY"], "eA==")
    assert submit(recipe, kfp, *flags) == 0
    assert "secrets     in namespace kubeflow of ours: our-s3, our-hub" in capsys.readouterr().out


def test_cluster_that_does_not_say_stops_nothing(
    recipe: Path,
    kfp: KfpServer,
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster.status = 403
    assert submit(recipe, kfp, "--s3-secret", "our-s3") == 0
    assert "not looked at, as the cluster of ours does not say (Forbidden): our-s3" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"{{: -", b"- a list", b"\xff\xfe"])
def test_kubeconfig_that_leads_nowhere_stops_nothing(
    recipe: Path,
    kfp: KfpServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
) -> None:
    (tmp_path / "kubeconfig").write_bytes(content)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    assert submit(recipe, kfp, "--s3-secret", "our-s3") == 0
    assert re.search(r"not looked at, as no kubeconfig leads to a cluster \(.+\): our-s3\n", capsys.readouterr().out)
