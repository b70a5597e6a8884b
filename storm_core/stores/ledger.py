"""The ledger of a store: small JSON notes below `.ledger/`, by which processes that share the store agree.

Of several that write one note with `put_first`, the first wins and all learn of it. Ages are by the store's own clock.
"""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from storm_core.errors import InputError
from storm_core.manifest import is_plain_path
from storm_core.stores.layout import ledger_location
from storm_core.stores.locations import L

Note = dict[str, Any]
SUFFIX = ".json"


class Ledger(Protocol):
    """Notes by key; a key is a plain relative path, such as `leases/score`.

    Each method raises `StoreError` where the store cannot be used, and `InputError` where the key is no plain path or
    the note no JSON object.
    """

    def read(self, key: str) -> Note | None:
        """The note under `key`, or None."""

    def put(self, key: str, note: Mapping[str, Any]) -> None:
        """Keep `note` under `key`, in the place of what is there."""

    def put_first(self, key: str, note: Mapping[str, Any]) -> Note:
        """What is under `key` from now on: `note`, unless another writer was first; then the note of that one."""

    def delete(self, key: str) -> None:
        """Remove the note, if it is there."""

    def tidy(self, key: str) -> bool:
        """Remove a note that nobody needs any more; False where this user may not, and then it stays."""

    def ages(self, prefix: str) -> dict[str, float]:
        """Seconds since each note below the key `prefix` was written, by key."""


def note_location(store: L, key: str) -> L:
    """Where the note under `key` lies.

    Raises:
        InputError: the key is no plain relative path.
    """
    if not is_plain_path(key):
        raise InputError(f"a note's key must be a plain relative path, got {key!r}")
    return ledger_location(store).below(key + SUFFIX)


def serialised(note: Mapping[str, Any]) -> bytes:
    """The note as it is stored."""
    return (json.dumps(note, sort_keys=True) + "\n").encode()


def parse(content: bytes, place: str) -> Note:
    """The note that was stored at `place`.

    Raises:
        InputError: it is no JSON object.
    """
    try:
        note = json.loads(content)
    except ValueError:
        note = None
    if not isinstance(note, dict):
        raise InputError(f"{place} holds no JSON object; remove it if nothing runs on this store")
    return note
