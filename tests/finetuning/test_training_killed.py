"""`storm train` as a process of its own, killed at random moments and begun again."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storm_core.manifest import read_manifest

# The command itself, with a note of each update that it makes.
COMMAND = """
import sys
from torch.optim.optimizer import register_optimizer_step_post_hook
from storm_core.cli import main
notes = open(sys.argv.pop(1), "a", buffering=1)
register_optimizer_step_post_hook(lambda *_: notes.write("update\\n"))
sys.exit(main())
"""
UPDATES = 60
OPTIONS = [
    "--epochs=12",
    "--batch-size=2",
    "--learning-rate=0.01",
    "--warmup-ratio=0",
    "--evaluations=3",
    "--checkpoint-minutes=0",
]


class Training:
    """Attempts of one `storm train`, with a file of notes each."""

    def __init__(self, inputs: list[str], directory: Path, store: Path | None) -> None:
        self.directory = directory
        self.attempts = 0
        self._inputs = inputs
        self._store = store
        directory.mkdir()

    def start(self) -> "subprocess.Popen[str]":
        self.attempts += 1
        outputs = [f"--tuned-model={self.directory / 'tuned'}", f"--training={self.directory / 'training'}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if self._store:
            environment["STORM_STORE"] = self._store.as_uri()
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(self._notes()), "train", *self._inputs, *outputs, *OPTIONS],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def updates(self) -> int:
        """How many updates the newest attempt has made so far."""
        return self._notes().read_text().count("update") if self._notes().exists() else 0

    def stop_midway(self, number: signal.Signals, generator: random.Random) -> tuple[int, str]:
        """Begin an attempt and signal it at some moment of its training; returns exit code and standard error."""
        process = self.start()
        first = generator.randrange(1, 10)
        while self.updates() < first and process.poll() is None:
            time.sleep(0.01)
        time.sleep(generator.random() / 5)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        return process.returncode, errors

    def finish(self) -> tuple[dict[str, str], str]:
        """Begin an attempt and let it end; returns the digests of its outputs and its standard error."""
        process = self.start()
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        digests = {
            name: read_manifest(self.directory / name / "manifest.json").digest for name in ("tuned", "training")
        }
        return digests, errors

    def _notes(self) -> Path:
        return self.directory / f"notes-{self.attempts}"


def resumed_from(errors: str) -> int:
    """The step that an attempt says it continues after."""
    (line,) = (line for line in errors.splitlines() if "continues after step" in line)
    return int(line.split()[4])


@pytest.mark.slow
def test_killed_process_begun_again_ends_with_the_same_bytes_and_repeats_nothing(
    tiny_llama: Path, selection: Path, tiny_scan: Path, tmp_path: Path
) -> None:
    inputs = [f"--model={tiny_llama}", f"--selection={selection}", f"--scan={tiny_scan}"]
    expected, _ = Training(inputs, tmp_path / "reference", None).finish()
    training = Training(inputs, tmp_path / "killed", tmp_path / "store")
    generator = random.Random()  # noqa: S311 (not a secret)

    code, _ = training.stop_midway(signal.SIGKILL, generator)
    assert code == -signal.SIGKILL
    killed_after = training.updates()
    assert killed_after < UPDATES

    code, errors = training.stop_midway(signal.SIGTERM, generator)
    assert code == 143
    # A kill loses at most the update whose checkpoint was not whole yet.
    assert killed_after - 1 <= resumed_from(errors) <= killed_after
    stopped_after = resumed_from(errors) + training.updates()

    digests, errors = training.finish()
    assert digests == expected
    assert resumed_from(errors) == stopped_after
    assert training.updates() == UPDATES - stopped_after
    assert not [path for path in (tmp_path / "store" / ".parts").rglob("*") if path.is_file()]
