"""A cache of artifacts on this machine, shared by its processes and bounded in size.

`<root>/artifacts/<digest>/` is a whole artifact, `<root>/partial/<digest>/` one that is being fetched or whose fetching
was interrupted. Whoever reads an artifact holds its `use` lock together with others; whoever fetches it holds its
`fill` lock alone. What nobody uses is removed, the longest unused first, when room is needed.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from storm_core.artifacts import verify
from storm_core.errors import InputError
from storm_core.machine_errors import NamesFullDisk, check_room, directory_bytes
from storm_core.manifest import MANIFEST_NAME, Manifest, read_manifest, write_manifest
from storm_core.progress import report
from storm_core.stores.events import Observer, ignore
from storm_core.stores.file_locks import FileLock, alone, share, try_alone, wait_alone
from storm_core.stores.staging import StagingArea

CACHE_VARIABLE = "STORM_CACHE"
CACHE_SIZE_VARIABLE = "STORM_CACHE_GB"
# Four checkpoints of an 8B model in bfloat16: what the recipe has in use at a time.
_DEFAULT_GB = 64.0


@dataclass(frozen=True, kw_only=True)
class _Place:
    """One directory of the cache, whole or partial, and what it takes when it is whole, in bytes."""

    path: Path
    size: int


class Cache:
    """The cache below `root`, of at most `max_bytes` where what is in use permits."""

    def __init__(self, root: Path, max_bytes: int, observer: Observer = ignore) -> None:
        self.root = root
        self.max_bytes = max_bytes
        self._observe = observer
        self._staging = StagingArea(root / "staging")

    def staging_directory(self) -> Path:
        """A new empty directory on the cache's own file system."""
        return self._staging.new_directory()

    def open(self, manifest: Manifest, fill: Callable[[Path], None]) -> tuple[Path, FileLock]:
        """The directory of the artifact, verified, and the lock that keeps it there.

        Args:
            manifest: what the artifact must be.
            fill: fetches the listed files into a directory that may hold some of them already, and verifies them.

        Raises:
            InputError: the artifact is larger than the whole cache; or whatever `fill` raises.
        """
        lock = share(self._lock(manifest, "use"))
        os.utime(self._lock(manifest, "use"))
        target = self._directory(manifest)
        is_there = target.exists()
        if is_there and self._is_good(target, manifest):
            return target, lock
        with self._filling(manifest):
            # Another process may have put a good copy in the place of the damaged one meanwhile.
            if is_there and target.exists() and not self._is_good(target, manifest):
                report(f"{target} was damaged and is fetched again")
                shutil.rmtree(target)
            if not target.exists():
                self._fill(manifest, fill)
        return target, lock

    def adopt(self, directory: Path, manifest: Manifest) -> None:
        """Move the finished artifact in `directory` into the cache; where it is there already, nothing happens."""
        target = self._directory(manifest)
        size = _bytes_of(manifest)
        lock = try_alone(self._lock(manifest, "fill"))
        if lock is None or size > self.max_bytes:
            return
        if not target.exists():
            with alone(self.root / "locks" / "room"):
                self._make_room(size)
            target.parent.mkdir(parents=True, exist_ok=True)
            directory.rename(target)
        lock.release()

    def _fill(self, manifest: Manifest, fill: Callable[[Path], None]) -> None:
        size = _bytes_of(manifest)
        if size > self.max_bytes:
            raise InputError(
                f"an artifact of {_gigabytes(size)} does not fit the cache {self.root} of "
                f"{_gigabytes(self.max_bytes)}; raise {CACHE_SIZE_VARIABLE}"
            )
        partial = self.root / "partial" / manifest.digest
        if not partial.exists():
            with alone(self.root / "locks" / "room"):
                self._make_room(size)
                partial.mkdir(parents=True)
                write_manifest(partial, manifest)  # Says how much room it will take.
        with NamesFullDisk({partial: self.root}):
            check_room(partial, size - directory_bytes(partial), f"a copy of {manifest.kind} {manifest.digest[:12]}")
            fill(partial)
            write_manifest(partial, manifest)
        self._observe("open.before_rename")
        target = self._directory(manifest)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.rename(target)
        self._observe("open.renamed")

    @contextlib.contextmanager
    def _filling(self, manifest: Manifest) -> Iterator[None]:
        path = self._lock(manifest, "fill")
        lock = try_alone(path)
        if lock is None:
            report(f"waiting for another process that fetches {manifest.kind} {manifest.digest[:12]}")
            lock = wait_alone(path)
        self._observe("open.locked")
        try:
            yield
        finally:
            lock.release()

    def _is_good(self, target: Path, manifest: Manifest) -> bool:
        """Whether the copy in the cache is what was published."""
        try:
            verify(target, manifest)
        except (InputError, FileNotFoundError):  # The latter where another process is removing a damaged copy.
            return False
        return True

    def _make_room(self, size: int) -> None:
        """Remove what nobody uses, the longest unused first, until `size` more bytes fit."""
        places = list(self._places())
        excess = sum(place.size for place in places) + size - self.max_bytes
        for place in sorted(places, key=self._last_used):
            if excess <= 0:
                return
            if self._remove(place.path):
                excess -= place.size
        if excess > 0:
            report(f"the cache {self.root} is {_gigabytes(excess)} over its limit while what it holds is in use")

    def _places(self) -> Iterator[_Place]:
        for kind in ("partial", "artifacts"):
            for path in sorted((self.root / kind).glob("*")):
                try:
                    yield _Place(path=path, size=_bytes_of(read_manifest(path / MANIFEST_NAME)))
                except (InputError, OSError):
                    yield _Place(path=path, size=0)  # Killed before it had a manifest, or removed meanwhile.

    def _last_used(self, place: _Place) -> float:
        lock = self.root / "locks" / f"{place.path.name}.use"
        return lock.stat().st_mtime if lock.exists() else 0.0

    def _remove(self, path: Path) -> bool:
        """Remove one directory unless somebody uses or fills it; says whether it is gone."""
        using = try_alone(self.root / "locks" / f"{path.name}.use")
        if using is None:
            return False
        try:
            filling = try_alone(self.root / "locks" / f"{path.name}.fill")
            if filling is None:
                return False
            shutil.rmtree(path, ignore_errors=True)
            filling.release()
        finally:
            using.release()
        return True

    def _directory(self, manifest: Manifest) -> Path:
        return self.root / "artifacts" / manifest.digest

    def _lock(self, manifest: Manifest, purpose: str) -> Path:
        return self.root / "locks" / f"{manifest.digest}.{purpose}"


def cache_from_environment(observer: Observer = ignore) -> Cache:
    """The cache in `STORM_CACHE` (else `storm` in the user's cache directory) of `STORM_CACHE_GB` (10^9 bytes each).

    Raises:
        InputError: the size is not a positive number.
    """
    root = os.environ.get(CACHE_VARIABLE)
    if root is None:
        root = str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "storm")
    text = os.environ.get(CACHE_SIZE_VARIABLE) or str(_DEFAULT_GB)
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size < float("inf"):
        raise InputError(f"{CACHE_SIZE_VARIABLE} must be a positive number of gigabytes, got {text!r}")
    return Cache(Path(root), int(size * 1e9), observer)


def _bytes_of(manifest: Manifest) -> int:
    return sum(entry.size for entry in manifest.files)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
