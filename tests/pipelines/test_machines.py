"""Every stage on a full disk, with a link as its output, and stopped at a random moment; what came of it is a table.

The stages are those of a small recipe, each with the options and inputs that its manifest tells of.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from storm_core.artifacts import open_directory
from storm_core.errors import InputError
from storm_core.manifest import Manifest
from storm_core.stages import STAGES, flag, load_stage
from storm_core.stores.references import open_store
from tests.pipelines.conftest import ROOT, run

pytestmark = pytest.mark.nightly
DOCUMENT = ROOT / "docs" / "stopping.md"
HEADER = "| Stage | Full disk | Link as output | Ctrl-C | SIGTERM | SIGKILL | The next run |"
# What a stage says of itself in its output besides what it made: times, and the version that a registry gave.
DIFFERS = ("audit", "evaluate", "register", "report", "train")
MOST_TRIES = 6
# With STORM_WRITE_TABLE=1 the table in the document is written, not compared.
WRITE_TABLE = os.environ.get("STORM_WRITE_TABLE") == "1"


@pytest.fixture(scope="module")
def manifests(workspace: Path) -> dict[str, Manifest]:
    """A manifest of each verb, of the recipe's run."""
    finished = run(workspace)
    assert finished.returncode == 0, finished.stderr
    store = open_store((workspace / "runs/tiny/artifacts").as_uri())
    found = [store.artifact(place.kind, place.digest).manifest() for place in store.places()]
    return {manifest.producer["verb"]: manifest for manifest in found if manifest.producer}


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[dict[str, list[str]]]:
    """What came out, by verb; in the end, where all were tried, it is what the document has."""
    rows: dict[str, list[str]] = {}
    yield rows
    lines = [HEADER, "|---" * HEADER.count(" | ") + "|---|"]
    lines += [" | ".join([f"| `{verb}`", *row]) + " |" for verb, row in rows.items()]
    if set(rows) != set(STAGES):
        return
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition("<!-- table -->\n")
    _, _, after = rest.partition("<!-- end of table -->\n")
    made = "\n".join([f"{before}<!-- table -->", *lines, f"<!-- end of table -->\n{after}"])
    if WRITE_TABLE:
        DOCUMENT.write_text(made, encoding="utf-8")
    assert made == text or WRITE_TABLE, f"{DOCUMENT.name} is not what came out; STORM_WRITE_TABLE=1 writes it"


def command(verb: str, manifest: Manifest, place: Path, **outputs: Path) -> list[str]:
    """The stage again, its outputs in `place` unless they are given."""
    stage, config = load_stage(verb), manifest.producer["config"]
    flags = [(name, reference) for name, listed in manifest.references.items() for reference in listed]
    flags += [(name, _text(value)) for name, value in config.items()]
    flags += [(name, str(outputs.get(name, place / name))) for name in stage.outputs]
    return [sys.executable, "-m", "storm_core", verb, *(f"{flag(name)}={text}" for name, text in flags)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def variables(workspace: Path) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STORM_", "MLFLOW_"))}
    # A store of each attempt's own would hide what lies in the outputs; the registry is needed by one stage.
    return {**kept, "MLFLOW_TRACKING_URI": f"sqlite:///{workspace}/registry.db", "OMP_NUM_THREADS": "1"}


class Stage:
    """One stage, whose attempts leave their lines in a file."""

    def __init__(self, verb: str, manifest: Manifest, workspace: Path, place: Path) -> None:
        self.verb, self.manifest, self.workspace, self.place = verb, manifest, workspace, place
        self.seconds = 0.0

    def start(self, **outputs: Path) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command(self.verb, self.manifest, self.place, **outputs),
            cwd=self.workspace,
            env=variables(self.workspace),
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, **outputs: Path) -> tuple[int, list[str]]:
        began = time.monotonic()
        with self.start(**outputs) as process:
            _, errors = process.communicate(timeout=600)
        self.seconds = time.monotonic() - began
        assert "Traceback" not in errors, errors
        return process.returncode, errors.splitlines()

    def digests(self) -> dict[str, str]:
        return {name: open_directory(self.place / name).digest for name in load_stage(self.verb).outputs}

    def stop(self, number: signal.Signals, generator: random.Random) -> int:
        """Signal an attempt at some moment of its work; one that was too quick is tried again, sooner."""
        longest = self.seconds
        for _ in range(MOST_TRIES):
            with self.start() as process:
                assert process.stderr
                lines = [process.stderr.readline()]
                time.sleep(generator.uniform(0.1, longest))
                process.send_signal(number)
                _, rest = process.communicate(timeout=120)
            assert "Traceback" not in rest, rest
            if " done in " not in rest:
                break
            shutil.rmtree(self.place)
            longest /= 2
        lines += rest.splitlines()
        if number != signal.SIGKILL:
            assert f"stopped ({number.name})" in lines[-1], lines
        self.check_nothing_half_written()
        return process.returncode

    def check_nothing_half_written(self) -> None:
        """An output is not there, or whole."""
        for name in load_stage(self.verb).outputs:
            if (self.place / name).exists():
                open_directory(self.place / name)


@pytest.mark.parametrize("verb", STAGES)
def test_stage_meets_what_machines_do(
    verb: str,
    manifests: Mapping[str, Manifest],
    workspace: Path,
    tmp_path: Path,
    table: dict[str, list[str]],
) -> None:
    generator = random.Random()  # noqa: S311 (not a secret)
    first = next(iter(load_stage(verb).outputs))
    stage = Stage(verb, manifests[verb], workspace, tmp_path / "linked")
    (tmp_path / "elsewhere").mkdir()
    stage.place.mkdir()
    (stage.place / first).symlink_to(tmp_path / "elsewhere")
    code, lines = stage.finish()
    assert code == 0, lines
    expected = stage.digests()
    assert (stage.place / first).is_symlink()
    row = [_full_disk(stage, tmp_path / "disk", first), "written through"]

    stage.place = tmp_path / "stopped"
    codes = {number: stage.stop(number, generator) for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)}
    assert codes == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}
    row += ["130, one line", "143, one line", "nothing readable"]

    code, lines = stage.finish()
    assert code == 0, lines
    if verb not in DIFFERS:
        assert stage.digests() == expected
    assert [path.name for path in stage.place.iterdir() if ".partial-" in path.name] == []
    continues = any(" continues " in line or "reused" in line for line in lines) or load_stage(verb).resumable
    table[verb] = [*row, "continues" if continues else "afresh"]


def _full_disk(stage: Stage, disk: Path, output: str) -> str:
    """Run the stage with one page of room for its first output."""
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        code, lines = stage.finish(**{output: disk / "out"})
        assert code == 1, lines
        assert "No space left on device" in lines[-1] and str(disk) in lines[-1], lines
        with pytest.raises(InputError):
            open_directory(disk / "out")
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
    return "1, names the disk"
