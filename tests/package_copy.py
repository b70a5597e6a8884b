"""A copy of `storm_core` to edit, and what a process that imports it says of its stages."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The key of each stage for a run without options and inputs: what is left of it is the code and the packages.
KEYS = """
import json, storm_core
from storm_core.config import StageConfig
from storm_core.execution import run_key
from storm_core.stage import Inputs
from storm_core.stages import STAGES, load_stage
keys = {verb: run_key(load_stage(verb), StageConfig(), Inputs({})) for verb in STAGES}
print(json.dumps([storm_core.__file__, keys]))
"""


class PackageCopy:
    """Lies in `directory/storm_core`; whatever else is put into `directory` is found by imports first."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.package = directory / "storm_core"
        shutil.copytree(ROOT / "storm_core", self.package, ignore=shutil.ignore_patterns("__pycache__"))

    def environment(self) -> dict[str, str]:
        """Variables with which Python finds this package, and nothing of the directory that it is started in."""
        return {**os.environ, "PYTHONPATH": str(self.directory), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text that stands in the file `name`."""
        text = (self.package / name).read_text()
        assert old in text, f"{name} has no {old!r}"
        (self.package / name).write_text(text.replace(old, new))

    def append(self, name: str, text: str) -> None:
        """Add text to the end of the file `name`, which may be new."""
        with (self.package / name).open("a") as stream:
            stream.write(text)

    def keys(self) -> dict[str, str]:
        """The key that a run of each stage has, by verb."""
        command = [sys.executable, "-c", KEYS]
        finished = subprocess.run(command, capture_output=True, text=True, check=False, env=self.environment())
        assert finished.returncode == 0, finished.stderr
        imported, keys = json.loads(finished.stdout)
        assert Path(imported).parent == self.package
        return dict(keys)

    def changed(self, before: dict[str, str]) -> set[str]:
        """The verbs whose key is another one than `before`."""
        return {verb for verb, key in self.keys().items() if key != before[verb]}
