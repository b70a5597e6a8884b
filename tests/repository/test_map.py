"""What the project says of itself as a whole: the map of its rooms, and the directories whose types are checked."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def directories_with_code(top: Path) -> set[str]:
    return {str(path.parent.relative_to(top)) for path in top.rglob("*.py") if "__pycache__" not in path.parts}


def test_map_names_every_room() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    mapped = re.findall(r"^\| `([a-z_/]+)/` \|", text, re.M)
    assert sorted(mapped) == sorted(directories_with_code(ROOT / "storm_core") - {"."})


def test_types_are_checked_in_every_directory_with_code() -> None:
    checked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["files"]
    tops = [path for path in ROOT.iterdir() if path.is_dir() and (path.name == ".ci" or path.name[0] != ".")]
    left_out = {"runs", "build", "dist"}  # what commands leave, beside hidden directories
    assert sorted(checked) == sorted(
        path.name for path in tops if path.name not in left_out and any(path.rglob("*.py"))
    )
