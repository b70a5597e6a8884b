"""What unfinished work has left in a bucket: parts of runs, and uploads that were not completed."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from storm_core.stores.inventory import Leftover
from storm_core.stores.s3_client import delete_object, errors_in_words, list_objects
from storm_core.stores.uris import S3Location

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def part_leftovers(client: "S3Client", parts: S3Location) -> Iterator[Leftover]:
    """The parts below `parts`, those of one run together.

    Raises:
        StoreError: the store cannot be used.
    """
    newest: dict[str, datetime] = {}
    for listed in list_objects(client, parts):
        key = listed["Key"][len(parts.key) + 1 :].partition("/")[0]
        newest[key] = max(newest.get(key, listed["LastModified"]), listed["LastModified"])
    for key, modified in newest.items():
        place = parts.below(key)
        yield Leftover(what=f"parts {place.uri}", modified=modified, remove=partial(_remove_below, client, place))


def upload_leftovers(client: "S3Client", store: S3Location) -> Iterator[Leftover]:
    """The multipart uploads below `store` that were not completed.

    Raises:
        StoreError: the store cannot be used.
    """
    prefix = f"{store.key}/" if store.key else ""
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=store.bucket, Prefix=prefix)
    with errors_in_words(client, store):
        uploads = [upload for page in pages for upload in page.get("Uploads", [])]
    for upload in uploads:
        place = S3Location(bucket=store.bucket, key=upload["Key"])
        remove = partial(_abort, client, place, upload["UploadId"])
        yield Leftover(what=f"upload {place.uri}", modified=upload["Initiated"], remove=remove)


def _remove_below(client: "S3Client", place: S3Location) -> None:
    for listed in list(list_objects(client, place)):
        delete_object(client, S3Location(bucket=place.bucket, key=listed["Key"]))


def _abort(client: "S3Client", place: S3Location, upload_id: str) -> None:
    with errors_in_words(client, place):
        client.abort_multipart_upload(Bucket=place.bucket, Key=place.key, UploadId=upload_id)
