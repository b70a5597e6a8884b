"""A full disk by whatever error it comes, and what else a machine refuses: one line that names the right file."""

import errno
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from safetensors import SafetensorError

from storm_core.errors import InputError
from storm_core.machine_errors import NamesFullDisk, check_room, refusal

FULL = "Error while serializing: I/O error: No space left on device (os error 28)"


def copied(source: str, target: str) -> OSError:
    error = OSError(errno.ENOSPC, "No space left on device", source)
    error.filename2 = target
    return error


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        SafetensorError(FULL),
        Exception("No space left on device (os error 28)"),
        OSError(errno.ENOSPC, "Error writing bytes to file"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        sqlite3.OperationalError("database or disk is full"),
        caused(RuntimeError("checkpoint failed"), OSError(errno.ENOSPC, "No space left on device")),
        copied("elsewhere/tokenizer.json", "{staged}/tokenizer.json"),
        OSError(errno.ENOSPC, "No space left on device", "{staged}/x"),
    ],
    ids=str,
)
def test_full_disk_names_the_output(error: Exception, tmp_path: Path) -> None:
    staged = tmp_path / ".out.partial"
    staged.mkdir()
    if isinstance(error, OSError) and error.filename:
        names = [name and str(name).format(staged=staged) for name in (error.filename, error.filename2)]
        error.filename, error.filename2 = names
    with pytest.raises(OSError) as raised, NamesFullDisk({staged: Path("out")}):
        raise error
    words = refusal(raised.value)
    assert words is not None and words.endswith(": out")
    assert "\n" not in words


def test_full_disk_of_another_file_names_that_file(tmp_path: Path) -> None:
    with pytest.raises(OSError) as raised, NamesFullDisk({tmp_path: Path("out")}):
        raise copied(f"{tmp_path}/saved", "/store/.parts/saved")
    assert refusal(raised.value) == "No space left on device: /store/.parts/saved"


@pytest.mark.parametrize("error", [InputError("No space left on device"), ZeroDivisionError("1 / 0"), SystemExit(143)])
def test_what_is_no_full_disk_stays_what_it_is(error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as raised, NamesFullDisk({tmp_path: Path("out")}):
        raise error
    assert raised.value is error


def test_without_room_nothing_is_begun(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    check_room(tmp_path / "not" / "there", free // 2, "the model")
    with pytest.raises(OSError, match=r"No space left on device for the model, .* more are needed, and .* are free"):
        check_room(tmp_path / "not" / "there", 10 * free, "the model")


@pytest.mark.parametrize("number", [errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENAMETOOLONG])
def test_what_a_machine_refuses_is_one_line(number: int) -> None:
    assert refusal(OSError(number, os.strerror(number), "out/model")) == f"{os.strerror(number)}: out/model"


def test_defect_is_none(tmp_path: Path) -> None:
    assert refusal(FileNotFoundError(errno.ENOENT, "No such file or directory", "x")) is None


def test_no_room_for_temporary_files_says_what_to_do() -> None:
    words = refusal(FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"))
    assert words == "No usable temporary directory found in ['/tmp']; make room there, or set TMPDIR"


def test_directory_that_was_removed_under_the_program_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError) as caught:
        Path("x").absolute()
    assert "current directory is not there" in (refusal(caught.value) or "")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOTDIR])
def test_what_a_file_system_lacks_is_one_line(number: int) -> None:
    assert refusal(OSError(number, os.strerror(number), "/store/lock")) == f"{os.strerror(number)}: /store/lock"
