"""The S3 client: standard AWS configuration, time-outs, retries, and what is done with single objects.

Endpoint, region and credentials come from the standard AWS variables and files, or from the role of the machine.
"""

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from storm_core.errors import InputError
from storm_core.stores.inventory import ListedFile
from storm_core.stores.locations import S3Location
from storm_core.stores.patience import Patience
from storm_core.stores.s3_checksums import sent
from storm_core.stores.s3_configuration import (
    addressing,
    check_bundle,
    check_section,
    check_variables,
    load_credentials,
    names,
    unusable,
)
from storm_core.stores.s3_encryption import ask_for_encryption
from storm_core.stores.s3_errors import errors_in_words, is_missing, is_taken, lacks_conditional_writes, said

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

# A connection that sends nothing for so long is given up and the request made again: longer than the pauses of a busy
# server, short enough that a stall costs less than the transfer it interrupts.
READ_TIMEOUT_SECONDS = 25.0
_CONNECT_TIMEOUT_SECONDS = 10.0
# Waits of up to 1, 2, 4, 8 and 16 s lie between six attempts: enough for a server that throttles.
_ATTEMPTS = 6
# How long a server may be away: a pod that is lost with its node is back in about a minute.
_PATIENCE_SECONDS = 120.0
# Requests in flight at a time; beyond that, more connections to one server gain little.
CONNECTIONS = 8

# What reading a body may raise after the answer began well; botocore retries none of these by itself.
_BROKEN_BODY = (IncompleteReadError, ResponseStreamingError, ReadTimeoutError)


def make_client(read_timeout_seconds: float = READ_TIMEOUT_SECONDS) -> "S3Client":
    """A client that threads may share.

    Raises:
        StoreError: the AWS configuration cannot be used.
    """
    check_variables()
    config = Config(
        connect_timeout=_CONNECT_TIMEOUT_SECONDS,
        read_timeout=read_timeout_seconds,
        max_pool_connections=CONNECTIONS + 2,
        response_checksum_validation="when_required",
    )
    # Any region will do for servers other than Amazon's, and Amazon's own redirects name the right one.
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    try:
        session = boto3.session.Session(region_name=region)
        check_section(session)
        load_credentials(session)
        region = session.region_name or "us-east-1"
        is_patient = not any(names(session, setting) for setting in ("max_attempts", "retry_mode"))
        if is_patient:
            config = config.merge(Config(retries={"mode": "standard", "total_max_attempts": _ATTEMPTS}))
        client = session.client("s3", region_name=region, config=config.merge(addressing(session)))
        check_bundle(session, client.meta.endpoint_url)
        client.meta.events.register_first("needs-retry.s3", _keep_redirects, unique_id="storm-redirects")
        ask_for_encryption(client)
        if is_patient:
            Patience(client, _PATIENCE_SECONDS)
    except (BotoCoreError, ClientError, OSError, ValueError) as error:
        raise unusable(error) from error
    return client


def _keep_redirects(request_dict: dict[str, Any], response: Any, **_: object) -> None:
    """Mark a request as redirected whose redirect names no region of Amazon's.

    boto3 would ask for the bucket's region, be redirected again, and so on without end.
    """
    if response is None or not 300 <= response[0].status_code < 400:
        return
    headers = response[1].get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if "x-amz-bucket-region" not in headers and not response[1].get("Error", {}).get("Region"):
        request_dict["context"].setdefault("s3_redirect", {})["redirected"] = True


def reading_again(read: Callable[[], T], sleep: Callable[[float], None] = time.sleep) -> T:
    """The result of `read`, tried again where the body of an answer broke off, with growing random pauses."""
    for attempt in range(1, _ATTEMPTS):
        try:
            return read()
        except _BROKEN_BODY:
            sleep(random.random() * min(2.0**attempt, 16.0))  # noqa: S311 (not for secrets)
    return read()


def list_objects(client: "S3Client", location: S3Location, start: str = "") -> Iterator[ListedFile]:
    """Every object below `location` whose name starts with `start`, in the order of their names.

    Raises:
        StoreError: the store cannot be used.
    """
    prefix = f"{location.key}/" if location.key else ""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=location.bucket, Prefix=prefix + start)
    with errors_in_words(client, location):
        for page in pages:
            said(page, "IsTruncated")
            for listed in page.get("Contents", []):
                size, modified = said(listed, "Size"), said(listed, "LastModified")
                yield ListedFile(said(listed, "Key").removeprefix(prefix), size, modified)


def read_object(client: "S3Client", location: S3Location, max_bytes: int) -> bytes | None:
    """What the object holds, or None where there is none.

    Raises:
        InputError: it has more than `max_bytes`.
        StoreError: the store cannot be used.
    """

    def read() -> bytes:
        answer = client.get_object(Bucket=location.bucket, Key=location.key)
        with contextlib.closing(answer["Body"]) as body:
            said(answer, "ETag")
            size = said(answer, "ContentLength")
            if size > max_bytes:
                raise InputError(f"{location.uri} has {size} bytes, too many for what it should be")
            return body.read()

    with errors_in_words(client, location):
        try:
            return reading_again(read)
        except ClientError as error:
            if is_missing(error):
                return None
            raise


def size_of(client: "S3Client", location: S3Location) -> int | None:
    """Bytes of the object, or None where there is none.

    Raises:
        StoreError: the store cannot be used.
    """
    with errors_in_words(client, location):
        try:
            return int(said(client.head_object(Bucket=location.bucket, Key=location.key), "ContentLength"))
        except ClientError as error:
            if is_missing(error):
                return None
            raise


def put_object(client: "S3Client", location: S3Location, content: bytes) -> None:
    """Write the object, in the place of what is there.

    Raises:
        StoreError: the store cannot be used.
    """
    with errors_in_words(client, location):
        answer = sent(client, lambda: client.put_object(Bucket=location.bucket, Key=location.key, Body=content))
        said(answer, "ETag")


def put_if_absent(client: "S3Client", location: S3Location, content: bytes) -> bool:
    """Write the object unless there is one; returns whether it was written.

    False is also said where an attempt came through whose answer was lost.

    Raises:
        StoreError: the store cannot be used, or has no conditional writes.
    """
    with errors_in_words(client, location):
        try:
            answer = sent(
                client,
                lambda: client.put_object(Bucket=location.bucket, Key=location.key, Body=content, IfNoneMatch="*"),
            )
        except ClientError as error:
            if is_taken(error):
                return False
            if lacking := lacks_conditional_writes(client, location, error):
                raise lacking from error
            raise
        said(answer, "ETag")
    return True


def delete_object(client: "S3Client", location: S3Location) -> None:
    """Remove the object, if it is there.

    Raises:
        StoreError: the store cannot be used.
    """
    with errors_in_words(client, location):
        client.delete_object(Bucket=location.bucket, Key=location.key)


def delete_below(client: "S3Client", location: S3Location) -> None:
    """Remove every object below `location`.

    Raises:
        StoreError: the store cannot be used.
    """
    for listed in list(list_objects(client, location)):
        delete_object(client, S3Location(bucket=location.bucket, key=f"{location.key}/{listed.name}"))
