"""What the tests of `submit` share: an S3 server, a stand-in for KFP, a recipe, and the command."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.__main__ import main
from pipelines.s3_server import S3Server
from pipelines.submission import waiting
from tests.pipelines.kfp_server import KfpServer
from tests.s3_clients import administrator

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
STORE = "s3://models/storm"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        administrator(server).create_bucket(Bucket="models")
        yield server


@pytest.fixture(autouse=True)
def settings(s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STORM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KUBECONFIG", "/dev/null")
    for name in ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_UI_ENDPOINT", "KFP_EXISTING_TOKEN", "KFP_COOKIES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(waiting, "LOOK_AGAIN_SECONDS", 0.01)


@pytest.fixture
def kfp() -> Iterator[KfpServer]:
    with KfpServer() as server:
        yield server


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe whose references are local paths, each of other content."""
    for name in ("base", "sibling", "data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.txt").write_text(f"{name} of {tmp_path}")
    path = tmp_path / "tiny.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "base_model": str(tmp_path / "base"),
                "sibling_model": str(tmp_path / "sibling"),
                "data": str(tmp_path / "data"),
                "prepare_sources": ["chat=messages:file.txt"],
                "train_epochs": 2,
            }
        )
    )
    return path


def submit(recipe: Path, kfp: KfpServer, *flags: str) -> int:
    return main(command(recipe, kfp, *flags))


def command(recipe: Path, kfp: KfpServer, *flags: str) -> list[str]:
    given = ["--recipe", str(recipe), "--host", kfp.address, "--store", STORE, "--allow-local-images"]
    return ["submit", *given, *flags]


def only(kept: dict[str, dict[str, Any]]) -> dict[str, Any]:
    (one,) = kept.values()
    return one
