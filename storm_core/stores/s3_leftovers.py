"""What unfinished work has left in a bucket: partial results of runs, and uploads that were not completed."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from storm_core.stores.inventory import Leftover
from storm_core.stores.layout import is_of_store
from storm_core.stores.locations import S3Location
from storm_core.stores.s3_client import delete_below, list_objects
from storm_core.stores.s3_errors import errors_in_words

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def partial_result_leftovers(client: "S3Client", partial_results: S3Location) -> Iterator[Leftover]:
    """What lies below `partial_results`, that of one run together.

    Raises:
        StoreError: the store cannot be used.
    """
    newest: dict[str, datetime] = {}
    for listed in list_objects(client, partial_results):
        key = listed.name.partition("/")[0]
        newest[key] = max(newest.get(key, listed.modified), listed.modified)
    for key, modified in newest.items():
        place = partial_results.below(key)
        remove = partial(delete_below, client, place)
        yield Leftover(what=f"partial results {place.uri}", modified=modified, remove=remove, run_key=key)


def upload_leftovers(client: "S3Client", store: S3Location) -> Iterator[Leftover]:
    """The multipart uploads to `store` that were not completed; not those to other stores below it.

    Raises:
        StoreError: the store cannot be used.
    """
    prefix = f"{store.key}/" if store.key else ""
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=store.bucket, Prefix=prefix)
    with errors_in_words(client, store):
        below = [upload for page in pages for upload in page.get("Uploads", [])]
    uploads = [upload for upload in below if is_of_store(upload["Key"].removeprefix(prefix))]
    for upload in uploads:
        place = S3Location(bucket=store.bucket, key=upload["Key"])
        remove = partial(_abort, client, place, upload["UploadId"])
        yield Leftover(what=f"upload {place.uri}", modified=upload["Initiated"], remove=remove)


def _abort(client: "S3Client", place: S3Location, upload_id: str) -> None:
    with errors_in_words(client, place):
        client.abort_multipart_upload(Bucket=place.bucket, Key=place.key, UploadId=upload_id)
