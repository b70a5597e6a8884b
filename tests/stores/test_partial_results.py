import shutil
from pathlib import Path

import pytest

from storm_core.stores.partial_results import DirectoryPartialResults


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_part_that_was_kept_is_fetched_as_it_was(tmp_path: Path) -> None:
    partial_results = DirectoryPartialResults(tmp_path / "parts")
    partial_results.keep("step-40/weights.safetensors", write(tmp_path / "a", b"one"))
    assert partial_results.names() == ("step-40/weights.safetensors",)
    assert partial_results.fetch("step-40/weights.safetensors", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"one"


def test_part_kept_again_replaces_the_earlier_one(tmp_path: Path) -> None:
    partial_results = DirectoryPartialResults(tmp_path / "parts")
    partial_results.keep("a.parquet", write(tmp_path / "a", b"one"))
    partial_results.keep("a.parquet", write(tmp_path / "a", b"two"))
    assert partial_results.fetch("a.parquet", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"two"
    assert len(list((tmp_path / "parts").iterdir())) == 1


def test_part_that_another_run_drops_at_this_moment_counts_as_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial_results = DirectoryPartialResults(tmp_path / "parts")
    partial_results.keep("a.parquet", write(tmp_path / "a", b"one"))
    copy = shutil.copyfile

    def drop_first(source: Path, target: Path) -> None:
        partial_results.drop("a.parquet")
        copy(source, target)

    monkeypatch.setattr("storm_core.stores.partial_results.shutil.copyfile", drop_first)
    assert not partial_results.fetch("a.parquet", tmp_path / "b")


def test_altered_part_counts_as_absent(tmp_path: Path) -> None:
    partial_results = DirectoryPartialResults(tmp_path / "parts")
    partial_results.keep("a.parquet", write(tmp_path / "a", b"one"))
    (stored,) = (tmp_path / "parts").iterdir()
    stored.write_bytes(b"two")
    assert not partial_results.fetch("a.parquet", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_half_written_and_foreign_files_are_no_parts(tmp_path: Path) -> None:
    partial_results = DirectoryPartialResults(tmp_path / "parts")
    assert partial_results.names() == ()
    (tmp_path / "parts").mkdir()
    write(tmp_path / "parts" / (".tmp." + "0" * 64), b"half")
    write(tmp_path / "parts" / "readme.txt", b"foreign")
    assert partial_results.names() == ()


def test_dropped_and_cleared_parts_are_gone(tmp_path: Path) -> None:
    partial_results = DirectoryPartialResults(tmp_path / "parts")
    for name in ("a", "b", "c"):
        partial_results.keep(name, write(tmp_path / name, name.encode()))
    partial_results.drop("b")
    assert partial_results.names() == ("a", "c")
    partial_results.clear()
    assert partial_results.names() == ()
