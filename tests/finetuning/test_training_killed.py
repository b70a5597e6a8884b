"""`storm train` as a process of its own, killed at random moments and begun again."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import boto3
import pytest

from pipelines.s3_server import S3Server
from storm_core.manifest import read_manifest
from storm_core.stores.references import open_store
from tests.finetuning.conftest import questions, write_selection

# The command itself, with a note of when it made each update; checkpoints may follow each other at once.
COMMAND = """
import sys, time
from torch.optim.optimizer import register_optimizer_step_post_hook
from storm_core.cli import main
from storm_core.finetuning import attempt
attempt._FIRST_SECONDS = attempt._SHORTEST_SECONDS = 0.0
notes = open(sys.argv.pop(1), "a", buffering=1)
register_optimizer_step_post_hook(lambda *_: notes.write(f"{time.time()}\\n"))
sys.exit(main())
"""
UPDATES = 60
OPTIONS = ["--epochs=12", "--batch-size=2", "--learning-rate=0.01", "--warmup-ratio=0", "--evaluations=3"]


class Training:
    """Attempts of one `storm train`, with a file of notes each."""

    def __init__(self, inputs: list[str], directory: Path, settings: Mapping[str, str], minutes: float = 0) -> None:
        self.directory = directory
        self.attempts = 0
        self._inputs = inputs
        self._settings = settings
        self._minutes = minutes
        directory.mkdir()

    def start(self) -> "subprocess.Popen[str]":
        self.attempts += 1
        outputs = [f"--tuned-model={self.directory / 'tuned'}", f"--training={self.directory / 'training'}"]
        options = [*OPTIONS, f"--checkpoint-minutes={self._minutes}"]
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(self._notes()), "train", *self._inputs, *outputs, *options],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **self._settings},
        )

    def times(self) -> list[float]:
        """When the newest attempt made each of its updates so far."""
        lines = self._notes().read_text().splitlines(keepends=True) if self._notes().exists() else []
        return [float(line) for line in lines if line.endswith("\n")]

    def updates(self) -> int:
        """How many updates the newest attempt has made so far."""
        return len(self.times())

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


@pytest.fixture(scope="module")
def inputs(tiny_llama: Path, tiny_scan: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    selection = write_selection(tmp_path_factory.mktemp("inputs") / "selection", questions(10), questions(3))
    return [f"--model={tiny_llama}", f"--selection={selection}", f"--scan={tiny_scan}"]


@pytest.fixture(scope="module")
def expected(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests of what an uninterrupted training gives."""
    return Training(inputs, tmp_path_factory.mktemp("expected") / "reference", {}).finish()[0]


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.nightly)])
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Mapping[str, str]]:
    """The variables that name an empty store, for the attempts and for the test itself."""
    if request.param == "file":
        yield {"STORM_STORE": (tmp_path / "store").as_uri()}
        return
    with S3Server(tmp_path / "server") as server:
        found = {**server.environment(), "STORM_STORE": "s3://storm/here", "STORM_CACHE": str(tmp_path / "cache")}
        for name, value in found.items():
            monkeypatch.setenv(name, value)
        # A session of its own: boto3's default one knows the server of another test.
        boto3.session.Session().client("s3").create_bucket(Bucket="storm")
        yield found


def resumed_from(errors: str) -> int:
    """The step that an attempt says it continues after; 0 where it begins anew, as it says nothing then."""
    lines = [line for line in errors.splitlines() if "continues after step" in line]
    return int(lines[0].split()[4]) if lines else 0


@pytest.mark.slow
def test_killed_process_begun_again_ends_with_the_same_bytes_and_repeats_nothing(
    inputs: list[str], expected: dict[str, str], settings: Mapping[str, str], tmp_path: Path
) -> None:
    training = Training(inputs, tmp_path / "killed", settings)
    generator = random.Random()  # noqa: S311 (not a secret)

    code, _ = training.stop_midway(signal.SIGKILL, generator)
    assert code == -signal.SIGKILL
    killed_after = training.updates()
    assert killed_after < UPDATES

    code, errors = training.stop_midway(signal.SIGTERM, generator)
    assert code == 143
    # A kill loses at most the update under way, and the one whose checkpoint was being written beside it.
    assert killed_after - 2 <= resumed_from(errors) <= killed_after
    stopped_after = resumed_from(errors) + training.updates()

    digests, errors = training.finish()
    assert digests == expected
    assert resumed_from(errors) == stopped_after
    assert training.updates() == UPDATES - stopped_after
    # What trainings share stays, which is the tokenised examples of two files.
    assert len(list(open_store(settings["STORM_STORE"]).leftovers())) == 2, "a checkpoint stays after the training"


@pytest.mark.slow
def test_kill_loses_no_more_than_the_work_between_two_checkpoints(
    inputs: list[str], expected: dict[str, str], tmp_path: Path
) -> None:
    longest = 0.5
    settings = {"STORM_STORE": (tmp_path / "store").as_uri()}
    training = Training(inputs, tmp_path / "killed", settings, minutes=longest / 60)
    process = training.start()
    while training.updates() < 12 and process.poll() is None:
        time.sleep(0.01)
    time.sleep(random.Random().random() / 2)  # noqa: S311 (not a secret)
    process.kill()
    killed, times = time.time(), training.times()
    process.communicate()
    # Some of these pauses are the writing of a checkpoint; the last is what the kill came into.
    pauses = [later - earlier for earlier, later in pairwise([*times, killed])]
    digests, errors = training.finish()
    assert digests == expected
    lost = times[resumed_from(errors) :]
    assert not lost or lost[0] >= killed - longest - 3 * max(pauses)
    assert training.updates() == UPDATES - resumed_from(errors)
