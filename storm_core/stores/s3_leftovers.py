"""What unfinished work has left in a bucket: parts of runs, and uploads that were not completed."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from storm_core.stores.inventory import Leftover
from storm_core.stores.locations import S3Location
from storm_core.stores.s3_client import delete_below, errors_in_words, list_objects

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def part_leftovers(client: "S3Client", parts: S3Location) -> Iterator[Leftover]:
    """The parts below `parts`, those of one run together.

    Raises:
        StoreError: the store cannot be used.
    """
    newest: dict[str, datetime] = {}
    for listed in list_objects(client, parts):
        key = listed.name.partition("/")[0]
        newest[key] = max(newest.get(key, listed.modified), listed.modified)
    for key, modified in newest.items():
        place = parts.below(key)
        yield Leftover(what=f"parts {place.uri}", modified=modified, remove=partial(delete_below, client, place))


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


def _abort(client: "S3Client", place: S3Location, upload_id: str) -> None:
    with errors_in_words(client, place):
        client.abort_multipart_upload(Bucket=place.bucket, Key=place.key, UploadId=upload_id)
