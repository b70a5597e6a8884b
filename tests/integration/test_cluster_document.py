"""The commands of docs/cluster.md, as they stand there, on the cluster; those that say what they need are left out."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster, namespace

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "cluster.md"
NAMESPACE = r"(namespace:? )kubeflow(-user-example-com)?\b"


def commands() -> list[str]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S)
    return [line for language, block in blocks if not language for line in block.splitlines()]


@pytest.fixture
def trial() -> Iterator[Cluster]:
    with namespace() as made:
        yield made


def here(directory: Path, name: str) -> Path:
    """A copy of `manifests/` that is for the namespace called `name`."""
    shutil.copytree(ROOT / "manifests", directory / "manifests")
    for path in (directory / "manifests").rglob("*.yaml"):
        path.write_text(re.sub(NAMESPACE, rf"\g<1>{name}", path.read_text(encoding="utf-8")), encoding="utf-8")
    return directory


def test_commands_of_the_document_do_what_it_says(trial: Cluster, tmp_path: Path) -> None:
    run = [command for command in commands() if "# needs" not in command]
    assert len(run) >= 6 and len(run) < len(commands())
    directory = here(tmp_path, trial.namespace)
    for command in run:
        words = re.sub(NAMESPACE, rf"\g<1>{trial.namespace}", command).split()
        finished = subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, f"{command}\n{finished.stderr}"
    made = trial.api.read_namespaced_secret("storm-s3", trial.namespace).data
    assert set(made) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def test_what_is_not_run_asks_for_the_internet_and_all_else_is_run() -> None:
    for command in commands():
        remote = any(part in command for part in ("/kfp/", "/trainer/", "device-plugin", "make "))
        known = remote or any(part in command for part in ("deployment --all", "crd/", "store_secret", "aws "))
        assert known == ("# needs the internet" in command), command
