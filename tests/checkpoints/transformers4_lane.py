"""What older versions of transformers make of the models that this version writes: `make test-transformers4`.

They are installed below the directory that STORM_TRANSFORMERS_4 names, each in a folder by its version.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from storm_core.cli import main
from tests.checkpoints.families import FAMILIES, make_family
from tests.checkpoints.logits import read
from tests.checkpoints.test_fetch_stage import REAL_GGUF

VERSIONS = Path(os.environ["STORM_TRANSFORMERS_4"])
SCRIPT = Path(__file__).with_name("logits.py")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each family as fetch writes it, and the demo's, from its GGUF file."""
    directory = tmp_path_factory.mktemp("written")
    sources = {name: make_family(name, directory / "sources" / name) for name in FAMILIES}
    sources["the demo's"] = REAL_GGUF
    for name, source in sources.items():
        assert main(["fetch", f"--source={source}", f"--model={directory / name}"]) == 0
    return {name: directory / name for name in sources}


@pytest.mark.parametrize("version", ["4.43", "4.57"])
def test_older_version_gives_the_same_logits_and_tokens(version: str, written: dict[str, Path], tmp_path: Path) -> None:
    known = {name: path for name, path in written.items() if _knows(version, name)}
    found = _read_by(version, list(known.values()), tmp_path / "found.json")
    for name, path in known.items():
        expected = read(path)
        theirs = found[str(path)]
        logits, other = torch.tensor(expected.pop("logits")), torch.tensor(theirs.pop("logits"))
        assert ((logits - other).norm() / logits.norm()).item() < 1e-5, name
        assert theirs == expected, name


def _knows(version: str, name: str) -> bool:
    return name not in FAMILIES or FAMILIES[name].since <= version


def _read_by(version: str, models: list[Path], file: Path) -> dict[str, dict[str, object]]:
    environment = {**os.environ, "PYTHONPATH": str(VERSIONS / version)}
    command = [sys.executable, str(SCRIPT), str(file), *map(str, models)]
    subprocess.run(command, env=environment, check=True, timeout=1200)
    found: dict[str, dict[str, object]] = json.loads(file.read_text(encoding="utf-8"))
    return found
