"""Multipart uploads to S3: the parts of a file, and what an upload that was not completed holds already."""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from storm_core.stores.locations import S3Location
from storm_core.stores.s3_codes import code_of
from storm_core.stores.s3_rights import is_unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class UploadGoneError(Exception):
    """The multipart upload was completed or aborted by someone else meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A run of bytes of a file; numbers start at 1."""

    number: int
    content: bytes


@dataclass(frozen=True, kw_only=True)
class EarlierPart:
    """A part that the server holds: its size in bytes, and its ETag as the server spells it."""

    size: int
    etag: str

    def holds(self, content: bytes) -> bool:
        """Whether this is the part that `content` would make.

        The ETag of a part is its MD5, except under some kinds of server-side encryption, where the part is sent again.
        """
        return (
            self.size == len(content)
            and self.etag.strip('"') == hashlib.md5(content, usedforsecurity=False).hexdigest()
        )


def read_parts(path: Path, part_bytes: int) -> Iterator[Part]:
    """The file in parts of `part_bytes`, the last one shorter."""
    with path.open("rb") as stream:
        number = 1
        while content := stream.read(part_bytes):
            yield Part(number=number, content=content)
            number += 1


def find_upload(client: "S3Client", target: S3Location) -> str | None:
    """The ID of the upload to `target` that was begun last and is not complete.

    None where there is none, or where the user may not see it: then what was sent of it is sent once more.
    """
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=target.bucket, Prefix=target.key)
    try:
        uploads = [upload for page in pages for upload in page.get("Uploads", []) if upload["Key"] == target.key]
    except ClientError as error:
        if is_unavailable(error):
            return None
        raise
    return max(uploads, key=lambda upload: upload["Initiated"])["UploadId"] if uploads else None


def earlier_parts(client: "S3Client", target: S3Location, upload_id: str) -> dict[int, EarlierPart]:
    """The parts that the upload holds, by number; none where the user may not see them."""
    pages = client.get_paginator("list_parts").paginate(Bucket=target.bucket, Key=target.key, UploadId=upload_id)
    try:
        with vanishing_upload():
            return {
                part["PartNumber"]: EarlierPart(size=part["Size"], etag=part["ETag"])
                for page in pages
                for part in page.get("Parts", [])
            }
    except ClientError as error:
        if is_unavailable(error):
            return {}
        raise


def abort_upload(client: "S3Client", target: S3Location, upload_id: str) -> None:
    """Abort the upload; where the user may not, it is left to `storm artifact gc` or a rule of the bucket."""
    try:
        client.abort_multipart_upload(Bucket=target.bucket, Key=target.key, UploadId=upload_id)
    except ClientError as error:
        if not is_unavailable(error):
            raise


@contextlib.contextmanager
def vanishing_upload() -> Iterator[None]:
    """Raise `UploadGoneError` where the server says that there is no such upload."""
    try:
        yield
    except ClientError as error:
        if code_of(error) == "NoSuchUpload":
            raise UploadGoneError from error
        raise
