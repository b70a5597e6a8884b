"""The ledger of a store: small JSON notes below `.ledger/`, by which processes that share the store agree.

Of several that write one note with `put_first`, the first wins and all learn of it. Ages are by the store's own clock.
"""

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from storm_core.errors import InputError
from storm_core.manifest import is_plain_path
from storm_core.stores.layout import ledger_location
from storm_core.stores.locations import FileLocation, L, S3Location
from storm_core.stores.s3_client import delete_object, errors_in_words, is_taken, read_object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Note = dict[str, Any]
_SUFFIX = ".json"
_MAX_BYTES = 1 << 20


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

    def ages(self, prefix: str) -> dict[str, float]:
        """Seconds since each note below the key `prefix` was written, by key."""


class FileLedger:
    """The ledger of a store in a directory."""

    def __init__(self, store: FileLocation) -> None:
        self._store = store

    def read(self, key: str) -> Note | None:
        """The note under `key`, or None."""
        location = _location(self._store, key)
        try:
            return _parse(location.path.read_bytes(), location.uri)
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
        _location(self._store, key).path.unlink(missing_ok=True)

    def ages(self, prefix: str) -> dict[str, float]:
        """Seconds since each note below the key `prefix` was written, by key."""
        root = ledger_location(self._store).path
        found = {}
        for path in sorted((root / prefix).rglob(f"*{_SUFFIX}")):
            with contextlib.suppress(FileNotFoundError):
                key = path.relative_to(root).as_posix().removesuffix(_SUFFIX)
                found[key] = time.time() - path.stat().st_mtime
        return found

    @contextlib.contextmanager
    def _written(self, key: str, note: Mapping[str, Any]) -> Iterator[tuple[Path, Path]]:
        """The note in a file of its own, and the path it is to have."""
        target = _location(self._store, key).path
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".", dir=target.parent, delete=False) as stream:
            stream.write(_serialised(note))
        try:
            yield Path(stream.name), target
        finally:
            Path(stream.name).unlink(missing_ok=True)


class S3Ledger:
    """The ledger of a store in a bucket."""

    def __init__(self, client: "S3Client", store: S3Location) -> None:
        self._client = client
        self._store = store

    def read(self, key: str) -> Note | None:
        """The note under `key`, or None."""
        location = _location(self._store, key)
        content = read_object(self._client, location, _MAX_BYTES)
        return None if content is None else _parse(content, location.uri)

    def put(self, key: str, note: Mapping[str, Any]) -> None:
        """Keep `note` under `key`, in the place of what is there."""
        location = _location(self._store, key)
        with errors_in_words(self._client, location):
            self._client.put_object(Bucket=location.bucket, Key=location.key, Body=_serialised(note))

    def put_first(self, key: str, note: Mapping[str, Any]) -> Note:
        """What is under `key` from now on: `note`, unless another writer was first; then the note of that one."""
        location = _location(self._store, key)
        while (earlier := self.read(key)) is None:
            with errors_in_words(self._client, location):
                try:
                    self._client.put_object(
                        Bucket=location.bucket, Key=location.key, Body=_serialised(note), IfNoneMatch="*"
                    )
                except ClientError as error:
                    # Or an attempt of ours came through whose answer was lost: reading tells.
                    if not is_taken(error):
                        raise
                else:
                    return dict(note)
        return earlier

    def delete(self, key: str) -> None:
        """Remove the note, if it is there."""
        delete_object(self._client, _location(self._store, key))

    def ages(self, prefix: str) -> dict[str, float]:
        """Seconds since each note below the key `prefix` was written, by key."""
        root = ledger_location(self._store)
        below = root.below(*filter(None, [prefix]))
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=root.bucket, Prefix=f"{below.key}/")
        found = {}
        with errors_in_words(self._client, below):
            for page in pages:
                now = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
                for listed in page.get("Contents", []):
                    key = listed["Key"].removeprefix(f"{root.key}/").removesuffix(_SUFFIX)
                    found[key] = (now - listed["LastModified"]).total_seconds()
        return found


def _location(store: L, key: str) -> L:
    if not is_plain_path(key):
        raise InputError(f"a note's key must be a plain relative path, got {key!r}")
    return ledger_location(store).below(key + _SUFFIX)


def _serialised(note: Mapping[str, Any]) -> bytes:
    return (json.dumps(note, sort_keys=True) + "\n").encode()


def _parse(content: bytes, place: str) -> Note:
    try:
        note = json.loads(content)
    except ValueError:
        note = None
    if not isinstance(note, dict):
        raise InputError(f"{place} holds no JSON object; remove it if nothing runs on this store")
    return note
