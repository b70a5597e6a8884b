"""Stands in for KFP's launcher inside a stage's pod: inputs in, the component's command, outputs out.

    launcher.py DIRECTORY COMMAND...

DIRECTORY holds `inputs.tar.gz`, the files of the input artifacts, and `outputs.json`, the paths of the outputs. KFP's
launcher copies both from and to KFP's object store; this one gets the inputs from a config map and writes what lies at
the outputs' paths into the pod's log, in lines that begin with `MARK`. Runs in the image, with the standard library.
"""

import base64
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

MARK = "kfp-launcher-output:"
_LINE_CHARACTERS = 8000


def main() -> int:
    """Run the command; returns its exit code. Outputs of a command that failed are not handed on."""
    directory, command = Path(sys.argv[1]), sys.argv[2:]
    with tarfile.open(directory / "inputs.tar.gz") as inputs:
        inputs.extractall("/")  # noqa: S202 (our own; the image's Python has no filters yet)
    code = subprocess.run(command, check=False).returncode
    if code == 0:
        hand_on(json.loads((directory / "outputs.json").read_text(encoding="utf-8")))
    return code


def hand_on(paths: list[str]) -> None:
    """Write files and directories at the paths, those that are there, to standard output."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as outputs:
        for path in filter(lambda path: Path(path).exists(), paths):
            outputs.add(path)
    text = base64.b64encode(packed.getvalue()).decode()
    for start in range(0, len(text), _LINE_CHARACTERS):
        sys.stdout.write(MARK + text[start : start + _LINE_CHARACTERS] + "\n")


if __name__ == "__main__":
    sys.exit(main())
