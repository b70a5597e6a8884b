"""An empty registry, for the families that go through every stage; and a small model that a test may spoil."""

import shutil
from pathlib import Path

import pytest

from tests.checkpoints.families import make_family
from tests.promotion.conftest import empty_registry, registry  # noqa: F401 (fixtures)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    return make_family("Llama 3.1", tmp_path_factory.mktemp("weights") / "model")


@pytest.fixture
def model(llama: Path, tmp_path: Path) -> Path:
    """A small Llama that a test may spoil."""
    return Path(shutil.copytree(llama, tmp_path / "model"))
