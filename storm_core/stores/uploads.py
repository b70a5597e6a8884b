"""Send files to S3: parts side by side, across files and within one, hashed again as they are read.

What a killed process sent is found again and not sent twice: whole objects by size and hash, parts of unfinished
multipart uploads by their MD5. Memory holds a fixed number of parts, whatever the size of the files.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from storm_core.errors import InputError, StoreError
from storm_core.manifest import FileEntry
from storm_core.stores.events import Observer
from storm_core.stores.locations import S3Location
from storm_core.stores.multipart import (
    EarlierPart,
    Part,
    UploadGoneError,
    abort_upload,
    earlier_parts,
    find_upload,
    read_parts,
    vanishing_upload,
)
from storm_core.stores.s3_checksums import sent
from storm_core.stores.s3_client import CONNECTIONS
from storm_core.stores.s3_errors import errors_in_words, is_missing, said
from storm_core.stores.s3_rights import is_denied

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# A part is in memory twice while it is sent, and eight are sent at a time: some 200 MB in all.
PART_BYTES = 8 << 20
_MAX_PARTS = 10_000
# Files read and hashed at a time. One core hashes about as fast as a fast network takes.
_FILES_AT_A_TIME = 3
_RESTARTS = 3


class Uploader:
    """Sends files with a bounded number of parts in memory. Use it as a context manager."""

    def __init__(self, client: "S3Client", observer: Observer, part_bytes: int = PART_BYTES) -> None:
        self._client = client
        self._observe = observer
        self._part_bytes = part_bytes
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="upload")
        self._room = threading.BoundedSemaphore(CONNECTIONS + 1)
        self._stopped = threading.Event()

    def __enter__(self) -> "Uploader":
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def send(
        self,
        directory: Path,
        entries: Sequence[FileEntry],
        target: S3Location,
        advance: Callable[[int], None],
    ) -> None:
        """Send the files of `directory` to `target`; `advance` is told of every byte that is there.

        Raises:
            InputError: a file is not what its entry says; it changed since it was hashed.
            StoreError: the store cannot be used.
        """
        with ThreadPoolExecutor(_FILES_AT_A_TIME, thread_name_prefix="file") as files:
            sent = [
                files.submit(self.send_file, directory / entry.path, entry, target.below(entry.path), advance)
                for entry in entries
            ]
            try:
                for one in sent:
                    one.result()
            except BaseException:
                self._stopped.set()
                files.shutdown(wait=False, cancel_futures=True)
                raise

    def send_file(self, path: Path, entry: FileEntry, target: S3Location, advance: Callable[[int], None]) -> None:
        """Send one file; see `send`."""
        with errors_in_words(self._client, target):
            for _ in range(_RESTARTS):
                try:
                    if not self.is_there(entry, target):
                        self._send(path, entry, target)
                    advance(entry.size)
                    self._observe("publish.file_sent")
                    return
                except UploadGoneError:
                    continue  # A rival finished or aborted it: look again what is there.
        raise StoreError(f"{target.uri}: its upload vanished {_RESTARTS} times; is someone clearing the bucket?")

    def is_there(self, entry: FileEntry, target: S3Location) -> bool:
        """Whether the object is there whole: an object comes to be only after its hash was checked.

        False too where the user may not look; without the right to list, that is also the answer where there is none.
        """
        try:
            head = self._client.head_object(Bucket=target.bucket, Key=target.key)
        except ClientError as error:
            if is_missing(error) or is_denied(error):
                return False
            raise
        return head.get("ContentLength") == entry.size and head["Metadata"].get("sha256") == entry.sha256

    def _send(self, path: Path, entry: FileEntry, target: S3Location) -> None:
        part_bytes = max(self._part_bytes, -(-entry.size // _MAX_PARTS))
        if entry.size <= part_bytes:
            self._send_whole(path, entry, target)
        else:
            self._send_in_parts(path, entry, target, part_bytes)

    def _send_whole(self, path: Path, entry: FileEntry, target: S3Location) -> None:
        with self._room:
            content = path.read_bytes()
            _check_unchanged(path, entry, len(content), hashlib.sha256(content).hexdigest())
            answer = sent(
                self._client,
                lambda: self._client.put_object(
                    Bucket=target.bucket, Key=target.key, Body=content, Metadata={"sha256": entry.sha256}
                ),
            )
            said(answer, "ETag")

    def _send_in_parts(self, path: Path, entry: FileEntry, target: S3Location, part_bytes: int) -> None:
        upload_id, earlier = self._find_or_create(entry, target)
        digest = hashlib.sha256()
        pending: deque[tuple[int, Future[str]]] = deque()
        done: list[tuple[int, str]] = []
        for part in read_parts(path, part_bytes):
            digest.update(part.content)
            while pending and pending[0][1].done():
                done.append(_result(pending))
            self._acquire()
            future = self._pool.submit(self._send_part, target, upload_id, part, earlier.get(part.number))
            pending.append((part.number, future))
        size = path.stat().st_size
        while pending:
            done.append(_result(pending))
        if (size, digest.hexdigest()) != (entry.size, entry.sha256):
            abort_upload(self._client, target, upload_id)
        _check_unchanged(path, entry, size, digest.hexdigest())
        self._complete(target, upload_id, done)

    def _find_or_create(self, entry: FileEntry, target: S3Location) -> tuple[str, Mapping[int, EarlierPart]]:
        """The upload to continue, and what a killed process sent of it; or a new one."""
        upload_id = find_upload(self._client, target)
        if upload_id:
            return upload_id, earlier_parts(self._client, target, upload_id)
        created = sent(
            self._client,
            lambda: self._client.create_multipart_upload(
                Bucket=target.bucket, Key=target.key, Metadata={"sha256": entry.sha256}
            ),
        )
        self._observe("publish.upload_created")
        return said(created, "UploadId"), {}

    def _send_part(self, target: S3Location, upload_id: str, part: Part, earlier: EarlierPart | None) -> str:
        try:
            if earlier and earlier.holds(part.content):
                return earlier.etag
            with vanishing_upload():
                answer = sent(
                    self._client,
                    lambda: self._client.upload_part(
                        Bucket=target.bucket,
                        Key=target.key,
                        UploadId=upload_id,
                        PartNumber=part.number,
                        Body=part.content,
                    ),
                )
            self._observe("publish.part_sent")
            return str(said(answer, "ETag"))
        finally:
            self._room.release()

    def _complete(self, target: S3Location, upload_id: str, parts: Sequence[tuple[int, str]]) -> None:
        self._observe("publish.before_complete")
        listed = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
        with vanishing_upload():
            self._client.complete_multipart_upload(
                Bucket=target.bucket,
                Key=target.key,
                UploadId=upload_id,
                MultipartUpload={"Parts": listed},  # type: ignore[typeddict-item]
            )

    def _acquire(self) -> None:
        """Wait for room for one more part in memory."""
        while not self._room.acquire(timeout=0.5):
            if self._stopped.is_set():
                raise StoreError("the upload was stopped because another file failed")


def _result(pending: "deque[tuple[int, Future[str]]]") -> tuple[int, str]:
    number, future = pending.popleft()
    return number, future.result()


def _check_unchanged(path: Path, entry: FileEntry, size: int, sha256: str) -> None:
    if (size, sha256) != (entry.size, entry.sha256):
        raise InputError(f"{path} changed after it was hashed; is something still writing to it? Nothing was published")
