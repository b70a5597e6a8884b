"""A machine for the scripts of `manifests/kind/`: a shell's usual programs, and stand-ins for all that they ask."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).with_name("stand_in.py")
# Of what a shell has: nothing else is found on the machine.
_USUAL = ("awk", "bash", "cat", "dirname", "env", "grep", "mkdir", "mktemp", "rm", "sed", "sleep", "tail")


class Machine:
    """Its programs and what they keep, below a directory."""

    def __init__(self, directory: Path, programs: tuple[str, ...] = ("kind", "kubectl", "docker", "git", "make", "df")):
        self.home, self.state, self._bin = (directory / name for name in ("home", "state", "bin"))
        for made in (self.home, self.state, self._bin):
            made.mkdir()
        for name in _USUAL:
            (self._bin / name).symlink_to(shutil.which(name) or name)
        text = STAND_IN.read_text(encoding="utf-8")
        for name in programs:
            (self._bin / name).write_text(f"#!{sys.executable} -S\n{text}", encoding="utf-8")
            (self._bin / name).chmod(0o755)

    def environment(self) -> dict[str, str]:
        """What a shell on it has."""
        return {"PATH": str(self._bin), "HOME": str(self.home), "STAND_IN_STATE": str(self.state)}

    def remove(self, program: str) -> None:
        """Take a program away."""
        (self._bin / program).unlink()

    def replace(self, program: str, other: str) -> None:
        """Let another program answer to its name."""
        self.remove(program)
        (self._bin / program).symlink_to(shutil.which(other) or other)

    def run(self, script: str, *arguments: str, text: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
        """The script, run to its end."""
        return subprocess.run(
            [ROOT / script, *arguments],
            input=text,
            env={**self.environment(), **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def set(self, name: str, value: Any) -> None:
        """Let the programs find it so."""
        (self.state / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")

    def get(self, name: str) -> Any:
        """What the programs keep."""
        return json.loads((self.state / f"{name}.json").read_text(encoding="utf-8"))

    def calls(self) -> list[str]:
        """What the programs were asked, a line each, without where the kubeconfig is."""
        calls = self.state / "calls"
        text = calls.read_text(encoding="utf-8") if calls.exists() else ""
        return re.sub(rf" --kubeconfig {re.escape(os.fspath(self.home))}\S+", "", text).splitlines()

    def asked(self, begin: str) -> list[str]:
        """Those calls that begin so."""
        return [call for call in self.calls() if call.startswith(begin)]
