"""What `manifests/` says that the code says too: secrets, versions, the service account."""

import re
from pathlib import Path

import pytest
import yaml

from pipelines.secrets import SECRETS
from storm_core import __version__

MANIFESTS = Path(__file__).parents[2] / "manifests"
KEY = r"^{}([A-Z0-9_]+)=(.*)$"


def template(kind: str) -> str:
    return (MANIFESTS / "secrets" / f"storm-{kind}.env.example").read_text(encoding="utf-8")


def test_every_secret_has_a_template_and_there_are_no_others() -> None:
    names = {path.name for path in (MANIFESTS / "secrets").iterdir() if path.suffix == ".example"}
    assert names == {f"storm-{kind}.env.example" for kind in SECRETS}


@pytest.mark.parametrize("kind", SECRETS)
def test_template_has_the_keys_that_tasks_read(kind: str) -> None:
    asked = re.findall(KEY.format(""), template(kind), re.M)
    assert tuple(key for key, _ in asked) == SECRETS[kind].required
    assert {value for _, value in asked} == {""}
    assert tuple(key for key, _ in re.findall(KEY.format("#"), template(kind), re.M)) == SECRETS[kind].optional


def test_mlflow_is_the_image_of_this_version() -> None:
    (image,) = yaml.safe_load((MANIFESTS / "overlays" / "kind" / "kustomization.yaml").read_text())["images"]
    assert image == {"name": "storm-servers", "newTag": __version__}


def test_only_what_is_kept_apart_asks_for_the_internet() -> None:
    remote = {path.parent for path in MANIFESTS.rglob("*.yaml") if "https://" in path.read_text(encoding="utf-8")}
    overlays = MANIFESTS / "overlays"
    kind = {
        overlays / "kind" / part
        for part in ("kfp/cluster-scoped", "kfp/servers", "trainer/manager", "trainer/runtimes")
    }
    assert remote == {*kind, overlays / "gpu" / "device-plugin"}
