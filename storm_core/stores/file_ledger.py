"""The ledger of a store in a directory; see `storm_core.stores.ledger`."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from storm_core.stores.layout import ledger_location
from storm_core.stores.ledger import SUFFIX, Note, note_location, parse, serialised
from storm_core.stores.locations import FileLocation


class FileLedger:
    """The ledger of a store in a directory."""

    def __init__(self, store: FileLocation) -> None:
        self._store = store

    def read(self, key: str) -> Note | None:
        """The note under `key`, or None."""
        location = note_location(self._store, key)
        try:
            return parse(location.path.read_bytes(), location.uri)
        except FileNotFoundError:
            return None

    def put(self, key: str, note: Mapping[str, Any]) -> None:
        """Keep `note` under `key`, in the place of what is there."""
        with self._written(key, note) as (partial, target):
            partial.replace(target)

    def put_first(self, key: str, note: Mapping[str, Any]) -> Note:
        """What is under `key` from now on: `note`, unless another writer was first; then the note of that one."""
        while True:
            with self._written(key, note) as (partial, target), contextlib.suppress(FileExistsError):
                os.link(partial, target)
                return dict(note)
            if (earlier := self.read(key)) is not None:  # None: removed in the meantime.
                return earlier

    def delete(self, key: str) -> None:
        """Remove the note, if it is there."""
        note_location(self._store, key).path.unlink(missing_ok=True)

    def tidy(self, key: str) -> bool:
        """Remove a note that nobody needs any more."""
        self.delete(key)
        return True

    def ages(self, prefix: str) -> dict[str, float]:
        """Seconds since each note below the key `prefix` was written, by key."""
        root = ledger_location(self._store).path
        found = {}
        for path in sorted((root / prefix).rglob(f"*{SUFFIX}")):
            with contextlib.suppress(FileNotFoundError):
                key = path.relative_to(root).as_posix().removesuffix(SUFFIX)
                found[key] = time.time() - path.stat().st_mtime
        return found

    @contextlib.contextmanager
    def _written(self, key: str, note: Mapping[str, Any]) -> Iterator[tuple[Path, Path]]:
        """The note in a file of its own, and the path it is to have."""
        target = note_location(self._store, key).path
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".", dir=target.parent, delete=False) as stream:
            stream.write(serialised(note))
        try:
            yield Path(stream.name), target
        finally:
            Path(stream.name).unlink(missing_ok=True)
