"""Every shell script is looked at by shellcheck, and can be told for one."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHELLCHECK = Path(sys.executable).with_name("shellcheck")
LEFT_OUT = {".git", ".data", "runs", "build", "dist", "node_modules"}


def scripts() -> list[Path]:
    """Files that bash or sh runs or reads, wherever they are."""
    tops = [path for path in ROOT.iterdir() if path.name not in LEFT_OUT and not path.name.startswith(".venv")]
    files = [file for top in tops for file in ([top] if top.is_file() else top.rglob("*")) if file.is_file()]
    return sorted(file for file in files if file.suffix == ".sh" or is_script(file))


def is_script(file: Path) -> bool:
    with file.open("rb") as stream:
        return re.match(rb"#!.*\b(ba)?sh$|# shellcheck shell", stream.readline().rstrip()) is not None


def looked_at() -> set[str]:
    """Those that `make lint` names."""
    told = subprocess.run(["make", "--dry-run", "lint"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (line,) = re.findall(r"shellcheck --external-sources (.+)", told)
    return set(line.split())


def test_every_script_is_looked_at_by_make_lint() -> None:
    assert {str(path.relative_to(ROOT)) for path in scripts()} == looked_at()


def test_shellcheck_has_nothing_to_say() -> None:
    names = [str(path.relative_to(ROOT)) for path in scripts()]
    told = subprocess.run(
        [SHELLCHECK, "--external-sources", *names], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout
    assert {"manifests/kind/up", ".ci/lanes.sh"} <= set(names)


def test_scripts_that_a_person_starts_can_be_started() -> None:
    begun = [path for path in scripts() if path.read_text(encoding="utf-8").startswith("#!") and path.suffix != ".sh"]
    assert [str(path.relative_to(ROOT)) for path in begun if not path.stat().st_mode & 0o100] == []
