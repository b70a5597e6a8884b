"""Directories for outputs that are not published yet; those of processes that died are swept away."""

import shutil
import tempfile
from pathlib import Path

from storm_core.stores.leases import Lease, try_alone


class StagingArea:
    """Makes directories below `root`, each leased for as long as this object lives."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._leases: list[Lease] = []

    def new_directory(self) -> Path:
        """An empty directory of this process alone."""
        self._root.mkdir(parents=True, exist_ok=True)
        self._sweep()
        directory = Path(tempfile.mkdtemp(dir=self._root))
        lease = try_alone(_lock(directory))
        if lease is None:
            raise RuntimeError(f"{_lock(directory)} is locked although its directory is new")
        self._leases.append(lease)
        return directory

    def _sweep(self) -> None:
        """Remove the directories whose process is gone."""
        for lock in self._root.glob("*.lock"):
            lease = try_alone(lock)
            if lease is not None:
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)
                lease.release()


def _lock(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.lock")
