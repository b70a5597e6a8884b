"""Where outputs may lie: links, mount points, what may not be written; and that nothing half-moved is read."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from storm_core.artifacts import UNFINISHED_NAME, open_directory
from storm_core.cli import main
from storm_core.config import StageConfig
from storm_core.destinations import (
    check_file,
    check_files,
    check_outputs,
    check_replaceable,
    replace_directory,
    staging,
)
from storm_core.errors import InputError
from storm_core.execution import execute
from storm_core.places import check_place, followed
from storm_core.stage import Input, Inputs, Output, Results, Stage


@dataclass(frozen=True, kw_only=True)
class CopyConfig(StageConfig):
    """No options."""


def run(config: CopyConfig, inputs: Inputs, outputs: dict[str, Path]) -> Results:
    (outputs["copy"] / "text.txt").write_text(inputs["text"].file("text.txt").read_text())
    return Results()


COPY = Stage(
    verb="copy",
    summary="Copy.",
    config=CopyConfig,
    inputs={"text": Input(kind="text", help="what to copy")},
    outputs={"copy": Output(kind="text", help="the copy")},
    run=f"{__name__}:run",
)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    directory = tmp_path / "text"
    directory.mkdir()
    (directory / "text.txt").write_text("one")
    return directory


@pytest.fixture(params=["mounted", "parent of another"])
def fixed(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory that cannot be renamed: a disk is mounted there, or the directory above is not ours."""
    directory = tmp_path / "volume"
    directory.mkdir()
    if request.param == "mounted":
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("nothing can be mounted here")
        (directory / "lost+found").mkdir()
        yield directory
        subprocess.run(["umount", str(directory)], check=True)
    else:
        access = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path and access(path, mode))
        yield directory


def copy(text: Path, output: Path) -> None:
    execute(COPY, CopyConfig(), {"text": [str(text)]}, {"copy": output}, {})


def test_output_that_is_a_link_is_written_where_it_leads(text: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk")
    for content in ("one", "two"):
        (text / "text.txt").write_text(content)
        copy(text, tmp_path / "out")
        assert (tmp_path / "out").is_symlink()
        assert open_directory(tmp_path / "disk").file("text.txt").read_text() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "out", "text"]


def test_output_that_cannot_be_renamed_is_written_within_and_replaced(text: Path, fixed: Path) -> None:
    for content in ("one", "two"):
        (text / "text.txt").write_text(content)
        copy(text, fixed)
        assert open_directory(fixed).file("text.txt").read_text() == content
    assert {path.name for path in fixed.iterdir()} - {"lost+found"} == {"manifest.json", "text.txt"}


def test_output_that_cannot_be_renamed_is_not_read_half_moved(text: Path, fixed: Path, monkeypatch: object) -> None:
    copy(text, fixed)
    (text / "text.txt").write_text("two")
    rename, moved = Path.rename, []

    def killed(self: Path, target: Path) -> Path:
        moved.append(self)
        if len(moved) == 4:
            raise KeyboardInterrupt
        return rename(self, target)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", killed)
        copy(text, fixed)
    with pytest.raises(InputError, match="is unfinished; run the stage that writes it again"):
        open_directory(fixed)
    copy(text, fixed)
    assert open_directory(fixed).file("text.txt").read_text() == "two"


def test_stage_that_fails_leaves_what_was_in_the_volume(text: Path, fixed: Path, tmp_path: Path) -> None:
    copy(text, fixed)
    with pytest.raises(ZeroDivisionError), staging(fixed, None) as directory:
        (directory / "half").touch()
        raise ZeroDivisionError
    assert open_directory(fixed).file("text.txt").read_text() == "one"
    assert not list(fixed.glob(".*"))


def test_output_that_is_being_written_is_not_swept_away_by_another_process(tmp_path: Path) -> None:
    with staging(tmp_path / "out", None) as first, staging(tmp_path / "out", None) as second:
        assert first.is_dir() and second.is_dir()


def test_what_was_there_stays_until_the_new_is_in_its_place(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    for directory in (new, old):
        directory.mkdir()
        (directory / directory.name).touch()
    replace_directory(new, old)
    assert [path.name for path in old.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("below", ["", "further/down"])
def test_link_that_leads_nowhere_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "out").symlink_to("nowhere")
    with pytest.raises(InputError, match="out is a link to nowhere, which is not there; make it, or mount its disk"):
        followed(tmp_path / "out" / below)


def test_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("out")
    with pytest.raises(InputError, match="is a link to out, which is not there"):
        followed(tmp_path / "out")


def test_outputs_in_one_place_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "a").mkdir()
    for other in ("a", "a/b", "link/b"):
        with pytest.raises(InputError, match="is, or lies in, another output"):
            check_outputs({"one": tmp_path / "a", "two": tmp_path / other}, [])


@pytest.mark.parametrize("reference", ["{}", "{}/manifest.json", "{}/part"])
def test_output_that_holds_an_input_is_refused(text: Path, tmp_path: Path, reference: str) -> None:
    copy(text, tmp_path / "out")
    (tmp_path / "out" / "part").mkdir()
    with pytest.raises(InputError, match="would be replaced by an output"):
        check_outputs({"copy": tmp_path / "out"}, [reference.format(tmp_path / "out")])


def test_place_that_may_not_be_written_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    for check in (lambda: check_outputs({"a": tmp_path / "b/c"}, []), lambda: check_file(tmp_path / "page.html")):
        with pytest.raises(InputError, match=f"no permission to write to {tmp_path}, or its disk is read-only"):
            check()


def test_page_that_cannot_be_a_file_is_refused_before_the_work(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scan", f"--model={text}", f"--scan={tmp_path}/scan", f"--page={text}"]) == 1
    assert f"error: {text} is a directory; name a file" in capsys.readouterr().err


def test_leftover_of_a_half_moved_output_may_be_replaced_and_foreign_files_may_not(fixed: Path) -> None:
    (fixed / "half").touch()
    with pytest.raises(InputError, match="holds files that no stage wrote"):
        check_replaceable(fixed)
    (fixed / UNFINISHED_NAME).touch()
    check_replaceable(fixed)


def test_file_that_would_take_the_place_of_an_output_or_of_an_input_is_refused(tmp_path: Path, text: Path) -> None:
    output, link = tmp_path / "out", tmp_path / "link"
    link.symlink_to(text / "text.txt")
    for file in (output, tmp_path / "x" / ".." / "out"):
        with pytest.raises(InputError, match=r"is an output|an output, which is a directory"):
            check_files([file], {"copy": output}, [str(text)])
    for file in (text / "text.txt", link):
        with pytest.raises(InputError, match=r"a file of the input .*/text"):
            check_files([file], {"copy": output}, [str(text)])
    check_files([text / "page.html", tmp_path / "page.html"], {"copy": output}, [str(text), "s3://models/x"])


def test_page_over_an_input_is_refused_by_the_command_and_the_input_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text("{}")
    arguments = ["fetch", "--source", str(source), "--model", str(tmp_path / "model")]
    assert main([*arguments, "--page", str(source / "config.json")]) == 1
    assert "is a file of the input" in capsys.readouterr().err
    assert (source / "config.json").read_text() == "{}"


@pytest.mark.parametrize("kind", ["a file", "below a file", "a link to nothing", "a link to itself"])
def test_store_where_no_directory_can_be_is_one_line_before_any_work(
    kind: str, tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = {"a file": text / "text.txt", "below a file": text / "text.txt" / "store"}.get(kind, tmp_path / "link")
    if "link" in kind:
        place.symlink_to("nowhere" if kind == "a link to nothing" else "link")
    with pytest.raises(InputError):
        check_place(place)
    monkeypatch.setenv("STORM_STORE", place.as_uri())
    with pytest.raises(InputError, match=r"is a file|is a link"):
        execute(COPY, CopyConfig(), inputs={"text": [str(text)]}, outputs={"copy": tmp_path / "out"}, value_files={})


def test_reference_with_a_null_character_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "--source", '["a\\u0000b"]', "--model", str(tmp_path / "model")]) == 1
    assert "null character" in capsys.readouterr().err
