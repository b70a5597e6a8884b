"""Versions stand in `manifests/versions.env`, and nowhere another one."""

import re
from pathlib import Path

import pytest
import yaml

from pipelines.submission import mirror
from pipelines.submission.server import TESTED_RELEASE

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
KIND = MANIFESTS / "overlays" / "kind"


def versions() -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.+)$", text("manifests/versions.env"), re.M))


def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def refs(directory: Path) -> set[str]:
    """What is taken from other repositories below a directory, by the version of each."""
    files = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in directory.rglob("kustomization.yaml"))
    remote = [one for file in files for one in file["resources"] if "://" in one]
    assert remote
    return {one.partition("?ref=")[2] for one in remote}


def test_kustomize_takes_these_releases() -> None:
    assert refs(KIND / "kfp") == {versions()["KFP_VERSION"]}
    assert refs(KIND / "trainer") == {f"v{versions()['TRAINER_VERSION']}"}


def test_mirror_has_the_images_of_these_releases() -> None:
    tags = {image.rpartition(":")[0]: image.rpartition(":")[2] for image in mirror.KFP_IMAGES}
    assert tags.pop("quay.io/argoproj/argoexec") == f"v{versions()['ARGO_VERSION']}"
    assert set(tags.values()) == {versions()["KFP_VERSION"]}


def test_submit_knows_this_release_of_kfp_and_sdk_is_of_the_same() -> None:
    release = versions()["KFP_VERSION"].rpartition(".")[0]
    assert release == TESTED_RELEASE
    for package in ("kfp", "kfp-kubernetes"):
        assert re.search(rf"^{package}=={re.escape(release)}\.\d+ ", text("requirements/development.txt"), re.M)


def test_node_is_named_by_digest_and_of_this_kubernetes() -> None:
    named = re.fullmatch(r"kindest/node:v(\S+)@sha256:[0-9a-f]{64}", versions()["NODE_IMAGE"])
    assert named and named[1] == versions()["KUBERNETES_VERSION"]


@pytest.mark.parametrize("path", ["docs/cluster.md", "docs/kubeflow.md", "docs/strict_clusters.md"])
def test_documents_say_no_other_release(path: str) -> None:
    for word, release in re.findall(r"\b(KFP|Trainer|Kubernetes|kind) v?(\d+\.\d+(?:\.\d+)?)\b", text(path)):
        known = versions()[f"{word.upper()}_VERSION"]
        assert f"{known}.".startswith(f"{release}."), f"{path} says {word} {release}; it is {known}"


def test_scripts_have_no_versions_of_their_own() -> None:
    scripts = [*(MANIFESTS / "kind").iterdir(), ROOT / ".ci" / "kind_cluster", ROOT / ".ci" / "check_manifests"]
    for script in scripts:
        assert not re.search(r"(?<![\d.])\d+\.\d+\.\d+(?![\d.])", script.read_text(encoding="utf-8")), script


@pytest.mark.parametrize("name", sorted(versions()))
def test_every_version_is_used_or_compared(name: str) -> None:
    ours = [ROOT / ".ci" / name for name in ("check_manifests", "kind_cluster")]
    readers = [*(MANIFESTS / "kind").iterdir(), *ours, Path(__file__)]
    assert any(re.search(rf"\b{name}\b", path.read_text(encoding="utf-8")) for path in readers)
