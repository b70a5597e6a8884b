"""Encryption that is asked for with what is written to S3.

A bucket encrypts by its default without being asked. But there are policies that refuse what does not ask, and boto3
has no setting for that. The variables are those of `object_store`, by which Delta Lake, Lance and Polars reach S3.
"""

import os
from typing import TYPE_CHECKING, Any

from storm_core.errors import StoreError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ENCRYPTION_VARIABLE = "AWS_SERVER_SIDE_ENCRYPTION"
KEY_VARIABLE = "AWS_SSE_KMS_KEY_ID"
# A key of the client's own, by which Amazon encrypts and which it forgets (SSE-C); no artifact is written so.
CLIENT_KEY_VARIABLE = "AWS_SSE_CUSTOMER_KEY_BASE64"
_AMAZONS_OWN, _WITH_KEYS, _BY_CLIENT = "AES256", ("aws:kms", "aws:kms:dsse"), "sse-c"


def ask_for_encryption(client: "S3Client") -> None:
    """Have every object that the client writes ask for the encryption that the environment names, if it names one.

    Raises:
        StoreError: it names none that S3 has, or a key for one that takes none.
    """
    asked = encryption_from_environment()

    def add(params: dict[str, Any], **_: object) -> None:
        params.update(asked)

    # The parts of an upload are encrypted as the upload was begun.
    for operation in ("PutObject", "CreateMultipartUpload"):
        if asked:
            client.meta.events.register(f"provide-client-params.s3.{operation}", add)


def encryption_from_environment() -> dict[str, str]:
    """What is asked for, as parameters of boto3's; empty where nothing is.

    Raises:
        StoreError: see `ask_for_encryption`.
    """
    kind, key = os.environ.get(ENCRYPTION_VARIABLE, ""), os.environ.get(KEY_VARIABLE, "")
    if kind.lower() == _BY_CLIENT or os.environ.get(CLIENT_KEY_VARIABLE):
        raise StoreError(
            f"keys of the client's own (SSE-C) are not supported; unset {CLIENT_KEY_VARIABLE}, and set "
            f"{ENCRYPTION_VARIABLE} to {', '.join((_AMAZONS_OWN, *_WITH_KEYS))}, or nothing"
        )
    if kind not in ("", _AMAZONS_OWN, *_WITH_KEYS):
        raise StoreError(f"{ENCRYPTION_VARIABLE} must be {', '.join((_AMAZONS_OWN, *_WITH_KEYS))}, got {kind!r}")
    if key and kind not in _WITH_KEYS:
        raise StoreError(f"{KEY_VARIABLE} needs {ENCRYPTION_VARIABLE}={_WITH_KEYS[0]}, which is {kind or 'not set'}")
    return {**({"ServerSideEncryption": kind} if kind else {}), **({"SSEKMSKeyId": key} if key else {})}
