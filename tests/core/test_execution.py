import errno
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from storm_core import __version__
from storm_core.artifacts import open_directory
from storm_core.code_identity import code_identity
from storm_core.config import StageConfig, option
from storm_core.errors import InputError
from storm_core.execution import Outcome, execute
from storm_core.manifest import MANIFEST_NAME
from storm_core.stage import Input, Inputs, Output, Results, Stage, Value
from storm_core.stores.file_locks import try_directory
from storm_core.stores.references import open_reference

RUNS: list[str] = []


@dataclass(frozen=True, kw_only=True)
class CopyConfig(StageConfig):
    suffix: str = option("what to append", "!")
    fail: bool = option("fail halfway", False)
    seconds: float = option("how long it takes", 0.0)


def run_copy(config: CopyConfig, inputs: Inputs, outputs: Mapping[str, Path]) -> Results:
    RUNS.append(config.suffix)
    time.sleep(config.seconds)
    text = inputs["text"].file("text.txt").read_text()
    (outputs["copy"] / "text.txt").write_text(text + config.suffix)
    if config.fail:
        raise InputError("the text cannot be copied")
    return Results(metrics={"length": len(text)}, values={"lines": [text]})


COPY = Stage(
    verb="copy",
    summary="Copy a text.",
    config=CopyConfig,
    inputs={"text": Input(kind="text", help="what to copy")},
    outputs={"copy": Output(kind="text", help="the copy")},
    values={
        "lines": Value(type=list[str], help="the lines"),
        "copy_reference": Value(type=str, help="where the copy is"),
    },
    run="storm_test_copy:run_copy",
)


@pytest.fixture(autouse=True)
def stage_module(monkeypatch: pytest.MonkeyPatch) -> None:
    RUNS.clear()
    monkeypatch.setitem(sys.modules, "storm_test_copy", sys.modules[__name__])


@pytest.fixture
def text(tmp_path: Path) -> Path:
    directory = tmp_path / "text"
    directory.mkdir()
    (directory / "text.txt").write_text("hello")
    return directory


def copy(text: Path, output: Path, config: CopyConfig = CopyConfig()) -> Outcome:
    values = {name: output.parent / f"{output.name}-{name}" for name in COPY.values}
    return execute(COPY, config, {"text": [str(text)]}, {"copy": output}, values)


def test_without_a_store_the_output_directory_is_the_artifact(text: Path, tmp_path: Path) -> None:
    copy(text, tmp_path / "out")
    artifact = open_directory(tmp_path / "out")
    assert artifact.file("text.txt").read_text() == "hello!"
    assert artifact.manifest.inputs == {"text": [open_directory(text).digest]}
    assert artifact.manifest.producer["config"] == {"suffix": "!", "fail": False, "seconds": 0.0}


def test_manifest_says_by_what_version_code_and_packages_it_was_made(text: Path, tmp_path: Path) -> None:
    copy(text, tmp_path / "out")
    producer = open_directory(tmp_path / "out").manifest.producer
    assert producer["version"] == __version__
    assert {name: producer[name] for name in ("code", "packages")} == code_identity(COPY)


def test_with_a_store_the_output_holds_the_manifest_alone(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORM_STORE", (tmp_path / "store").as_uri())
    copy(text, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [MANIFEST_NAME]
    artifact = open_reference(str(tmp_path / "out"))
    assert artifact.path == tmp_path / "store" / "text" / artifact.digest
    assert (tmp_path / "out-copy_reference").read_text() == artifact.reference
    assert (tmp_path / "out-lines").read_text() == '["hello"]'


@pytest.mark.parametrize("with_store", [False, True])
def test_same_run_again_is_reused_and_another_is_not(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_store: bool
) -> None:
    if with_store:
        monkeypatch.setenv("STORM_STORE", (tmp_path / "store").as_uri())
    assert not copy(text, tmp_path / "out").reused
    assert copy(text, tmp_path / "out").reused
    assert (tmp_path / "out-lines").read_text() == '["hello"]'
    assert not copy(text, tmp_path / "out", CopyConfig(suffix="?")).reused
    (text / "text.txt").write_text("changed")
    assert not copy(text, tmp_path / "out", CopyConfig(suffix="?")).reused
    assert RUNS == ["!", "?", "?"]


def test_damaged_result_is_made_again(text: Path, tmp_path: Path) -> None:
    copy(text, tmp_path / "out")
    (tmp_path / "out" / "text.txt").write_text("damaged")
    assert not copy(text, tmp_path / "out").reused
    assert open_directory(tmp_path / "out").file("text.txt").read_text() == "hello!"


@pytest.mark.parametrize("with_store", [False, True])
def test_failed_stage_leaves_nothing_but_that_it_is_over(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_store: bool
) -> None:
    if with_store:
        monkeypatch.setenv("STORM_STORE", (tmp_path / "store").as_uri())
    with pytest.raises(InputError, match="cannot be copied"):
        copy(text, tmp_path / "out", CopyConfig(fail=True))
    files = (path for path in tmp_path.rglob("*") if path.is_file() and ".ledger" not in path.parts)
    left = [path for path in files if text not in path.parents]
    assert left == []


def test_failed_rerun_keeps_the_earlier_output(text: Path, tmp_path: Path) -> None:
    copy(text, tmp_path / "out")
    with pytest.raises(InputError):
        copy(text, tmp_path / "out", CopyConfig(fail=True))
    assert open_directory(tmp_path / "out").file("text.txt").read_text() == "hello!"


def test_foreign_files_at_the_output_are_not_replaced(text: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="files that no stage wrote"):
        copy(text, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "precious"


def test_input_of_another_kind_is_refused(text: Path, tmp_path: Path) -> None:
    from storm_core.artifacts import seal

    seal(text, "model", producer={}, inputs={}, metrics={})
    with pytest.raises(InputError, match=r"text must be a text artifact, but .* is of kind 'model'"):
        copy(text, tmp_path / "out")


def test_missing_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="copy needs text: what to copy"):
        execute(COPY, CopyConfig(), {}, {"copy": tmp_path / "out"}, {})


def test_full_disk_is_one_line_and_leaves_nothing(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from storm_core import cli

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "out" / "text.txt"))

    monkeypatch.setattr("storm_core.execution.seal", full_disk)
    monkeypatch.setattr(cli, "STAGES", {"copy": f"{__name__}:COPY"})
    monkeypatch.setattr(cli, "load_stage", lambda _: COPY)
    assert cli.main(["copy", "--text", str(text), "--copy", str(tmp_path / "out")]) == 1
    _, error = capsys.readouterr().err.splitlines()
    assert error == f"storm copy: error: No space left on device: {tmp_path}/out/text.txt"
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_what_a_killed_run_left_beside_the_output_is_swept_away_and_a_running_one_s_is_not(
    text: Path, tmp_path: Path
) -> None:
    places = tmp_path / "outputs"
    left, running, others = (places / name for name in (".out.partial-a", ".out.partial-b", ".other.partial-c"))
    for directory in (left, running, others):
        directory.mkdir(parents=True)
        (directory / "half").write_text("hel")
    lock = try_directory(running)
    assert lock is not None
    copy(text, places / "out")
    assert not left.exists()
    assert (running / "half").exists() and (others / "half").exists()
    assert sorted(path.name for path in places.iterdir() if path.name.startswith(".out")) == [".out.partial-b"]
    lock.release()


def test_incomplete_result_is_delivered_but_not_used_again(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_copy
    monkeypatch.setattr(sys.modules[__name__], "run_copy", lambda *given: replace(run(*given), complete=False))
    for store in (None, (tmp_path / "store").as_uri()):
        if store:
            monkeypatch.setenv("STORM_STORE", store)
        for _ in range(2):
            assert not copy(text, tmp_path / "out").reused
            assert open_reference(str(tmp_path / "out")).file("text.txt").read_text() == "hello!"


def test_same_run_side_by_side_is_done_once_and_the_second_waits_for_it(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STORM_STORE", (tmp_path / "store").as_uri())
    monkeypatch.setenv("STORM_TASK_NAME", "copy-base")
    config = CopyConfig(seconds=1.0)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(copy, text, tmp_path / name, config) for name in ("one", "two")]
        outcomes = [one.result() for one in both]
    assert RUNS == ["!"]
    assert sorted(outcome.reused for outcome in outcomes) == [False, True]
    assert len({outcome.manifests["copy"].digest for outcome in outcomes}) == 1
    assert "copy: waits for copy-base, which does the same work" in capsys.readouterr().err


def test_other_run_does_not_wait(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORM_STORE", (tmp_path / "store").as_uri())
    configs = [CopyConfig(seconds=1.0), CopyConfig(suffix="?", seconds=1.0)]
    begun = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(copy, text, tmp_path / config.suffix, config) for config in configs]
        assert not any(one.result().reused for one in both)
    assert time.monotonic() - begun < 2.0


def test_failed_run_lets_the_next_begin(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORM_STORE", (tmp_path / "store").as_uri())
    for _ in range(2):
        with pytest.raises(InputError):
            copy(text, tmp_path / "out", CopyConfig(fail=True))
    assert RUNS == ["!", "!"]
