"""Fetch files from S3: ranges side by side, hashed in order as they are written, so nothing is read twice.

A file that was fetched in part is continued. Memory holds a fixed number of ranges, whatever the size of the files.
"""

import contextlib
import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from storm_core.artifacts import hash_file
from storm_core.errors import InputError, StoreError
from storm_core.manifest import FileEntry
from storm_core.stores.events import Observer
from storm_core.stores.locations import S3Location
from storm_core.stores.s3_client import CONNECTIONS, reading_again, size_of
from storm_core.stores.s3_codes import code_of
from storm_core.stores.s3_errors import endpoint_of, errors_in_words, is_missing, said

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

RANGE_BYTES = 8 << 20
_FILES_AT_A_TIME = 3
# Ranges of one file that are asked for ahead of the one that is written.
_RANGES_AHEAD = 4
_BLOCK_BYTES = 1 << 20


class Downloader:
    """Fetches files with a bounded number of ranges in memory. Use it as a context manager."""

    def __init__(self, client: "S3Client", observer: Observer, range_bytes: int = RANGE_BYTES) -> None:
        self._client = client
        self._observe = observer
        self._range_bytes = range_bytes
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="download")
        self._stopped = threading.Event()

    def __enter__(self) -> "Downloader":
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def fetch(
        self, source: S3Location, entries: Sequence[FileEntry], directory: Path, advance: Callable[[int], None]
    ) -> None:
        """Fetch the listed files below `source` into `directory`; `advance` is told of every byte that is there.

        Raises:
            InputError: a file is missing, or is not what its entry says.
            StoreError: the store cannot be used.
        """
        with ThreadPoolExecutor(_FILES_AT_A_TIME, thread_name_prefix="file") as files:
            fetched = [
                files.submit(self.fetch_file, source.below(entry.path), entry, directory / entry.path, advance)
                for entry in entries
            ]
            try:
                for one in fetched:
                    one.result()
            except BaseException:
                self._stopped.set()
                files.shutdown(wait=False, cancel_futures=True)
                raise

    def fetch_file(self, source: S3Location, entry: FileEntry, path: Path, advance: Callable[[int], None]) -> None:
        """Fetch one file; see `fetch`. It gets its name only when its hash is right."""
        if path.is_file() and path.stat().st_size == entry.size and hash_file(path) == entry.sha256:
            advance(entry.size)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.part")
        digest = self._fetch_into(partial, source, entry, advance)
        if digest != entry.sha256:
            # What an earlier process left here may be at fault, or the way from the server: once more from the start.
            partial.unlink()
            advance(-entry.size)
            digest = self._fetch_into(partial, source, entry, advance)
        if digest != entry.sha256:
            partial.unlink()
            raise InputError(
                f"{source.uri} does not have the SHA-256 that its manifest lists; it was altered. Remove the damaged "
                "copy with `storm artifact verify --remove-damaged`, then make the artifact again"
            )
        partial.replace(path)
        self._observe("open.file_done")

    def is_whole(self, source: S3Location, entry: FileEntry, advance: Callable[[int], None]) -> bool:
        """Whether the object is there as it was written, after reading all of it.

        Raises:
            StoreError: the store cannot be used.
        """
        try:
            # A second time if need be: the way from the server may be at fault.
            return any(self._hash(source, entry, advance) == entry.sha256 for _ in range(2))
        except InputError:
            return False

    def _hash(self, source: S3Location, entry: FileEntry, advance: Callable[[int], None]) -> str:
        digest = hashlib.sha256()
        for content in self._ranges(source, entry, 0):
            digest.update(content)
            advance(len(content))
        return digest.hexdigest()

    def _fetch_into(self, partial: Path, source: S3Location, entry: FileEntry, advance: Callable[[int], None]) -> str:
        """Write what is not yet in the file `partial`; returns the SHA-256 of the whole."""
        digest = hashlib.sha256()
        with partial.open("ab+") as stream:
            if stream.tell() > entry.size:
                stream.truncate(0)
            stream.seek(0)
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
            advance(stream.tell())
            for content in self._ranges(source, entry, stream.tell()):
                digest.update(content)
                stream.write(content)
                advance(len(content))
                self._observe("open.range_written")
        return digest.hexdigest()

    def _ranges(self, source: S3Location, entry: FileEntry, start: int) -> Iterator[bytes]:
        """The bytes of the object from `start` on, in order; a few ranges are on their way at a time."""
        pending: deque[Future[bytes]] = deque()
        starts = iter(range(start, entry.size, self._range_bytes))
        if entry.size == 0:
            self._check_empty(source)
        try:
            while not self._stopped.is_set():
                while len(pending) < _RANGES_AHEAD and (begin := next(starts, None)) is not None:
                    end = min(begin + self._range_bytes, entry.size)
                    pending.append(self._pool.submit(self._read_range, source, entry, begin, end))
                if not pending:
                    return
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
        raise StoreError("the download was stopped because another file failed")

    def _read_range(self, source: S3Location, entry: FileEntry, begin: int, end: int) -> bytes:
        def read() -> bytes:
            answer = self._client.get_object(Bucket=source.bucket, Key=source.key, Range=f"bytes={begin}-{end - 1}")
            with contextlib.closing(answer["Body"]) as body:
                if "ContentRange" in answer:
                    _check_size(source, entry, answer["ContentRange"].rpartition("/")[2])
                    return body.read()
                self._check_rangeless(source, entry, answer)
                return body.read()[begin:end]

        with errors_in_words(self._client, source):
            try:
                content = reading_again(read)
            except ClientError as error:
                if is_missing(error):
                    raise _missing(source) from error
                if code_of(error) in ("InvalidRange", "416"):
                    raise InputError(
                        f"{source.uri} is shorter than the {entry.size} bytes that its manifest says; it was altered"
                    ) from error
                raise
        return content

    def _check_rangeless(self, source: S3Location, entry: FileEntry, answer: Any) -> None:
        """Refuse an answer that holds all of the object where a part was asked for, unless that is no more than one."""
        said(answer, "ETag")
        _check_size(source, entry, str(said(answer, "ContentLength")))
        if entry.size > self._range_bytes:
            raise StoreError(
                f"{source.uri}: the S3 server at {endpoint_of(self._client)} ignores Range, so that of "
                f"{entry.size} bytes every part would be all of them; use a server that answers ranges, or check what "
                "stands between"
            )

    def _check_empty(self, source: S3Location) -> None:
        size = size_of(self._client, source)
        if size is None:
            raise _missing(source)
        if size:
            raise InputError(f"{source.uri} has {size} bytes, its manifest says 0; it was altered")


def _check_size(source: S3Location, entry: FileEntry, total: str) -> None:
    if total != str(entry.size):
        raise InputError(f"{source.uri} has {total} bytes, its manifest says {entry.size}; it was altered")


def _missing(source: S3Location) -> InputError:
    return InputError(f"{source.uri} is missing but the manifest beside it lists it; produce the artifact again")
