"""Garbage collection while a run is half way: the run ends as if it had not been, in a directory and on a server."""

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from storm_core.cli import main
from storm_core.manifest import read_manifest
from storm_core.stores.references import open_store
from tests.finetuning.test_training_killed import Training, resumed_from
from tests.finetuning.test_training_killed import settings as settings  # noqa: PLC0414 (a fixture)

# Long enough for a stage to begin after the one before it, short enough to wait for.
DAYS, SECONDS = "0.0002", 17.3


def push(directory: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["artifact", "push", str(directory), "--kind", kind]) == 0
    return capsys.readouterr().out.strip()


def collect(days: str, kept: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    code = main(["artifact", "gc", "--keep-days", days, "--keep", kept, "--delete"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def digests_of(directory: Path) -> list[str]:
    return [read_manifest(directory / name / "manifest.json").digest for name in ("tuned", "training")]


@pytest.fixture
def unrelated(tmp_path: Path) -> Path:
    (tmp_path / "unrelated").mkdir()
    (tmp_path / "unrelated" / "file").write_text("something else")
    return tmp_path / "unrelated"


@pytest.mark.nightly
def test_training_ends_right_though_garbage_is_collected_beside_it(
    tiny_llama: Path,
    selection: Path,
    tiny_scan: Path,
    unrelated: Path,
    settings: Mapping[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    directories = {"model": tiny_llama, "selection": selection, "scan": tiny_scan}
    pushed = {kind: push(directory, kind, capsys) for kind, directory in directories.items()}
    kept = push(unrelated, "data", capsys)
    reference = Training(
        [f"--{name}={uri}" for name, uri in pushed.items()], tmp_path / "reference", {"STORM_STORE": ""}
    )
    expected, _ = reference.finish()

    training = Training([f"--{name}={uri}" for name, uri in pushed.items()], tmp_path / "beside", settings)
    process = training.start()
    while training.updates() < 3 and process.poll() is None:
        time.sleep(0.01)
    assert collect("0", kept, capsys) == "", "it uses all that is there"
    assert process.poll() is None
    process.kill()
    process.communicate()
    done = training.updates()
    assert collect("7", kept, capsys) == "", "what a run that was killed has left is young"
    digests, errors = training.finish()
    assert digests == expected
    assert done - 2 <= resumed_from(errors) <= done
    assert "model" in collect("0", kept, capsys), "nobody uses it any more"


@pytest.mark.nightly
def test_next_stage_finds_what_the_one_before_took_from_an_earlier_run(
    tiny_llama: Path,
    other_tiny_llama: Path,
    unrelated: Path,
    settings: Mapping[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    kept = push(unrelated, "data", capsys)
    merged, quantized = tmp_path / "merged", tmp_path / "quantized"
    merge = ["merge", f"--base-model={tiny_llama}", f"--other-model={other_tiny_llama}", f"--merged-model={merged}"]

    def storm(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "storm_core.cli", *arguments], check=True)

    storm(*merge)
    time.sleep(SECONDS + 2)
    shutil.rmtree(merged)
    storm(*merge)
    assert collect(DAYS, kept, capsys) == "", "the second run has just taken it"
    storm("quantize", f"--model={merged}", f"--quantized-model={quantized}")
    manifest = read_manifest(quantized / "manifest.json")
    assert open_store(settings["STORM_STORE"]).artifact("model", manifest.digest).check().digest == manifest.digest
    digest = read_manifest(merged / "manifest.json").digest
    time.sleep(SECONDS + 2)
    out = collect(DAYS, kept, capsys)
    assert digest in out, "later nobody needs it"
    storm(*merge)
    assert read_manifest(merged / "manifest.json").digest == digest
