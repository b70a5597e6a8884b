"""The ledger of a store in a bucket; see `storm_core.stores.ledger`."""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from storm_core.progress import report
from storm_core.stores.layout import ledger_location
from storm_core.stores.ledger import SUFFIX, Note, note_location, parse, serialised
from storm_core.stores.locations import S3Location
from storm_core.stores.rights import Tidying
from storm_core.stores.s3_client import delete_object, put_if_absent, put_object, read_object
from storm_core.stores.s3_errors import NotS3Error, endpoint_of, errors_in_words, said

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MAX_BYTES = 1 << 20


class S3Ledger:
    """The ledger of a store in a bucket."""

    def __init__(self, client: "S3Client", store: S3Location, tidying: Tidying) -> None:
        self._client = client
        self._store = store
        self._tidying = tidying
        self._is_checked = False

    def read(self, key: str) -> Note | None:
        """The note under `key`, or None."""
        location = note_location(self._store, key)
        content = read_object(self._client, location, _MAX_BYTES)
        return None if content is None else parse(content, location.uri)

    def put(self, key: str, note: Mapping[str, Any]) -> None:
        """Keep `note` under `key`, in the place of what is there."""
        put_object(self._client, note_location(self._store, key), serialised(note))

    def put_first(self, key: str, note: Mapping[str, Any]) -> Note:
        """What is under `key` from now on: `note`, unless another writer was first; then the note of that one."""
        location = note_location(self._store, key)
        while (earlier := self.read(key)) is None:
            # Where it was not written, reading tells whose note is there: it may be ours.
            if put_if_absent(self._client, location, serialised(note)):
                self._check_conditions(location, serialised(note))
                return dict(note)
        return earlier

    def _check_conditions(self, location: S3Location, content: bytes) -> None:
        """Say so, once, where the server takes `If-None-Match` and writes over what is there all the same."""
        if self._is_checked:
            return
        self._is_checked = True
        # Twice: a note may be removed right after it was written.
        if all(put_if_absent(self._client, location, content) for _ in range(2)):
            report(
                f"the S3 server at {endpoint_of(self._client)} ignores If-None-Match: processes that share "
                f"{self._store.uri} may do the same work twice; update the server, or let one process at a time use it",
                "warning",
            )

    def delete(self, key: str) -> None:
        """Remove the note, if it is there."""
        delete_object(self._client, note_location(self._store, key))

    def tidy(self, key: str) -> bool:
        """Remove a note that nobody needs any more; False where this user may not, and then it stays."""
        return self._tidying.tidied(lambda: self.delete(key))

    def ages(self, prefix: str) -> dict[str, float]:
        """Seconds since each note below the key `prefix` was written, by key."""
        root = ledger_location(self._store)
        below = root.below(*filter(None, [prefix]))
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=root.bucket, Prefix=f"{below.key}/")
        found = {}
        with errors_in_words(self._client, below):
            for page in pages:
                now = _server_time(page["ResponseMetadata"]["HTTPHeaders"])
                for listed in page.get("Contents", []):
                    key = listed["Key"].removeprefix(f"{root.key}/").removesuffix(SUFFIX)
                    found[key] = (now - said(listed, "LastModified")).total_seconds()
        return found


def _server_time(headers: Mapping[str, str]) -> datetime:
    """The server's own clock, by which it says when things were written."""
    try:
        return parsedate_to_datetime(said(headers, "date"))
    except ValueError:
        raise NotS3Error("Date") from None
