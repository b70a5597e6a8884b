"""Partial results: files that an unfinished run has finished already, from which its next attempt continues.

One is whole or absent. Its SHA-256 is in the name it is stored under, `<name>.<sha256>`, so an altered one is seen.
"""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Protocol

from storm_core.artifacts import hash_file
from storm_core.manifest import check_relative_path
from storm_core.progress import report

_STORED_NAME = re.compile(r"(?P<name>.+)\.(?P<sha256>[0-9a-f]{64})")


class PartialResults(Protocol):
    """The partial results under one key. Names are plain relative POSIX paths, such as `verdicts-00003.parquet`."""

    def names(self) -> tuple[str, ...]:
        """Names of the partial results that are there, sorted."""

    def keep(self, name: str, source: Path) -> None:
        """Store a copy of the file `source` as the partial result `name`, in the place of an earlier one."""

    def fetch(self, name: str, target: Path) -> bool:
        """Copy the partial result to the file `target`; False, and no file, where it is absent or was altered."""

    def drop(self, name: str) -> None:
        """Remove the partial result, if it is there."""

    def clear(self) -> None:
        """Remove every partial result under the key."""


class DirectoryPartialResults:
    """PartialResults in a local directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> tuple[str, ...]:
        """Names of the partial results that are there, sorted."""
        return tuple(sorted(self._stored()))

    def keep(self, name: str, source: Path) -> None:
        """Store a copy of the file `source` as the partial result `name`, in the place of an earlier one."""
        check_relative_path(name, self.root)
        earlier = self._stored().get(name, [])
        target = self.root / stored_name(name, hash_file(source))
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".", dir=target.parent, delete=False) as stream:
            partial = Path(stream.name)
        try:
            shutil.copyfile(source, partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        for path in earlier:
            if path != target:
                path.unlink(missing_ok=True)

    def fetch(self, name: str, target: Path) -> bool:
        """Copy the partial result to the file `target`; False, and no file, where it is absent or was altered."""
        for path in self._stored().get(name, []):
            try:
                shutil.copyfile(path, target)
            except FileNotFoundError:
                # Another run has put its partial results together in the meantime, and dropped this one.
                continue
            if stored_name(name, hash_file(target)) == path.relative_to(self.root).as_posix():
                return True
            report(f"{path} was altered; it is made again")
            target.unlink()
        return False

    def drop(self, name: str) -> None:
        """Remove the partial result, if it is there."""
        for path in self._stored().get(name, []):
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove every partial result under the key."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _stored(self) -> dict[str, list[Path]]:
        """The stored files of every partial result; several where two runs kept different ones at the same time."""
        found: dict[str, list[Path]] = {}
        for path in sorted(self.root.rglob("*")):
            parsed = parse_stored_name(path.relative_to(self.root).as_posix())
            if parsed and path.is_file():
                found.setdefault(parsed[0], []).append(path)
        return found


def stored_name(name: str, sha256: str) -> str:
    """What the partial result `name` with this hash is stored under."""
    return f"{name}.{sha256}"


def parse_stored_name(stored: str) -> tuple[str, str] | None:
    """Name and SHA-256 of a stored partial result, or None for a file that is none."""
    found = _STORED_NAME.fullmatch(stored)
    hidden = any(piece.startswith(".") for piece in stored.split("/"))
    return (found["name"], found["sha256"]) if found and not hidden else None
