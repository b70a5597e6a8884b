"""Directories for outputs that are not published yet; those of processes that died are swept away."""

import shutil
import tempfile
from pathlib import Path

from storm_core.stores.file_locks import FileLock, try_directory, wait_directory


class StagingArea:
    """Makes directories below `root`, each locked for as long as this object lives.

    Only those whose names begin with `prefix` are its own.
    """

    def __init__(self, root: Path, prefix: str = "") -> None:
        self._root = root
        self._prefix = prefix
        self._leases: list[FileLock | None] = []

    def new_directory(self) -> Path:
        """An empty directory of this process alone."""
        self._root.mkdir(parents=True, exist_ok=True)
        # Nobody sweeps a directory between its making and its locking.
        sweeping = wait_directory(self._root)
        self._sweep()
        directory = Path(tempfile.mkdtemp(dir=self._root, prefix=self._prefix))
        self._leases.append(try_directory(directory))
        sweeping.release()
        return directory

    def _sweep(self) -> None:
        """Remove the directories whose process is gone."""
        for directory in self._root.iterdir():
            lock = try_directory(directory) if directory.name.startswith(self._prefix) else None
            if lock is not None:
                shutil.rmtree(directory, ignore_errors=True)
                lock.release()
