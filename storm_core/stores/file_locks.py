"""Locks between processes that the system frees when their holder ends, however it ends."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class FileLock:
    """A lock on a file or directory, held until `release` or until this object is gone."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._held = True

    def release(self) -> None:
        """Free the lock."""
        if self._held:
            self._held = False
            os.close(self.descriptor)

    def __del__(self) -> None:
        self.release()


def share(path: Path) -> FileLock:
    """Hold the lock together with others that share it; waits for one who holds it alone."""
    return FileLock(_locked(path, fcntl.LOCK_SH))


def try_alone(path: Path) -> FileLock | None:
    """Hold the lock alone, or None where anybody else holds it."""
    try:
        return FileLock(_locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return None


def wait_alone(path: Path) -> FileLock:
    """Hold the lock alone; waits for everybody else."""
    return FileLock(_locked(path, fcntl.LOCK_EX))


def try_directory(path: Path) -> FileLock | None:
    """Hold the lock on the directory itself alone, or None where it is gone or anybody else holds it."""
    try:
        return _lock_directory(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError, BlockingIOError):
        return None


def wait_directory(path: Path) -> FileLock:
    """Hold the lock on the directory itself alone; waits for everybody else."""
    return _lock_directory(path, fcntl.LOCK_EX)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock alone while the body runs; waits for everybody else."""
    lock = wait_alone(path)
    try:
        yield
    finally:
        lock.release()


def _lock_directory(path: Path, operation: int) -> FileLock:
    lock = FileLock(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    _lock(path, lock.descriptor, operation)
    return lock


def _lock(path: Path, descriptor: int, operation: int) -> None:
    """Lock the open file; an error, as of a file system that has no locks, names the path."""
    try:
        fcntl.flock(descriptor, operation)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _locked(path: Path, operation: int) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _lock(path, descriptor, operation)
            if path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # Its holder removed the file: lock the new one.
