"""A disk that runs full while an artifact is opened or written: the system's error, nothing half; a retry continues.

As root the disk is a small one of its own, in memory. Elsewhere the system's limit on the size of a file stands in.
"""

import contextlib
import errno
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storm_core.errors import InputError
from storm_core.stores.file_store import FileStore
from storm_core.stores.locations import FileLocation
from storm_core.stores.references import open_reference
from tests.stores.conftest import S3Place
from tests.stores.crashing import Work, digest_of, make_store, open_artifact, publish, seal_tree
from tests.stores.fault_proxy import FaultProxy

DISK_BYTES = 32 << 20
FULL = (0, 2 << 20)


class MountedDisk:
    """A small file system; `error` is what the system says when it is full."""

    error = errno.ENOSPC

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def with_room(self, room: int) -> Iterator[None]:
        """Only so many bytes are free."""
        filler = self.path / "filler"
        free = shutil.disk_usage(self.path).free
        with filler.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, free - room)
        try:
            yield
        finally:
            filler.unlink()


class LimitedFiles:
    """A directory in which files cannot grow beyond a size."""

    error = errno.EFBIG

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def with_room(self, room: int) -> Iterator[None]:
        """No file can have more bytes."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[MountedDisk | LimitedFiles]:
    """A disk to fill."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(path)]
    if os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        yield MountedDisk(path)
        subprocess.run(["umount", "--lazy", str(path)], check=True)
    else:
        yield LimitedFiles(path)


@pytest.fixture
def tree(small_tree: Path) -> Path:
    """More than fits."""
    return small_tree


def test_disk_of_these_tests_really_runs_full(disk: MountedDisk | LimitedFiles) -> None:
    with disk.with_room(1 << 20), pytest.raises(OSError, match=os.strerror(disk.error)):
        (disk.path / "x").write_bytes(bytes(2 << 20))


@pytest.mark.parametrize("room", FULL)
def test_open_on_a_full_disk_leaves_nothing_half_and_goes_on_when_there_is_room(
    room: int, disk: MountedDisk | LimitedFiles, work: Work, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is full at the beginning is refused then; here another process takes the room meanwhile.
    monkeypatch.setattr("storm_core.stores.cache.check_room", lambda *_: None)
    digest = digest_of(work.tree)
    reader = replace(work, cache=disk.path / "cache", uri=publish(work))
    proxy.forget()
    with disk.with_room(room), pytest.raises(OSError, match=os.strerror(disk.error)):
        open_artifact(reader)
    assert not list((reader.cache / "artifacts").glob("*"))
    before = proxy.bytes_fetched("model.safetensors$")
    proxy.forget()
    assert open_artifact(reader) == digest
    assert room == 0 or before > 0
    assert room == 0 or proxy.bytes_fetched("model.safetensors$") < work.tree_bytes() - 1_000_000


def test_output_that_does_not_fit_is_not_published(
    disk: MountedDisk | LimitedFiles, work: Work, fresh: Work, place: S3Place
) -> None:
    writer = replace(work, cache=disk.path / "cache")
    with disk.with_room(2 << 20), pytest.raises(shutil.Error, match=os.strerror(disk.error)):
        publish(writer)
    assert place.list_keys() == []
    uri = publish(writer)
    assert open_artifact(replace(fresh, uri=uri)) == digest_of(work.tree)
    assert not list((writer.cache / "staging").iterdir())


def test_manifest_that_does_not_fit_is_not_there(disk: MountedDisk | LimitedFiles, work: Work) -> None:
    store = FileStore(FileLocation(path=disk.path / "store"))
    directory = store.staging_directory()
    shutil.copytree(work.tree, directory, dirs_exist_ok=True)
    with disk.with_room(0), pytest.raises(OSError, match=os.strerror(disk.error)):
        seal_tree(directory)
    assert not (directory / "manifest.json").exists()
    uri = store.publish(directory, seal_tree(directory)).uri
    assert open_reference(uri).digest == digest_of(work.tree)


def test_publishing_from_a_full_disk_needs_no_room(disk: MountedDisk | LimitedFiles, work: Work, fresh: Work) -> None:
    store = make_store(replace(work, cache=disk.path / "cache"))
    directory = store.staging_directory()
    shutil.copytree(work.tree, directory, dirs_exist_ok=True)
    manifest = seal_tree(directory)
    with disk.with_room(0):
        uri = store.publish(directory, manifest).uri
    store.access.client.close()
    assert open_artifact(replace(fresh, uri=uri)) == manifest.digest


def test_what_was_remembered_and_kept_survives_a_full_disk(disk: MountedDisk | LimitedFiles, tmp_path: Path) -> None:
    store = FileStore(FileLocation(path=disk.path / "store"))
    (tmp_path / "part").write_bytes(b"x" * 50_000)
    store.remember("key", {"step": 1})
    store.partial_results("key").keep("a", tmp_path / "part")
    (tmp_path / "part").write_bytes(b"y" * 500_000)
    with disk.with_room(0):
        with pytest.raises(OSError, match=os.strerror(disk.error)):
            store.remember("key", {"step": 2, "text": "x" * 100_000})
        with pytest.raises(OSError, match=os.strerror(disk.error)):
            store.partial_results("key").keep("a", tmp_path / "part")
    assert store.recall("key") == {"step": 1}
    assert store.partial_results("key").names() == ("a",)
    assert store.partial_results("key").fetch("a", tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == b"x" * 50_000


def test_artifact_larger_than_the_whole_cache_is_refused_before_it_is_fetched(
    work: Work, fresh: Work, proxy: FaultProxy
) -> None:
    uri = publish(work)
    proxy.forget()
    with pytest.raises(InputError, match="STORM_CACHE_GB"):
        open_artifact(replace(fresh, uri=uri, cache_bytes=1_000_000))
    assert proxy.bytes_fetched("model.safetensors$") == 0
