"""Checksums of what is sent to S3: boto3 adds them by itself, which servers older than 2025 refuse in many ways."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from storm_core.progress import report
from storm_core.stores.s3_codes import code_of, status_of
from storm_core.stores.s3_errors import endpoint_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

# The setting by which nothing is sent that S3 did not ask for from the start.
_NONE = "when_required"
# How servers answer a header or a coding of the body that they do not know: some take the signature for wrong.
_REFUSALS = (400, 403, 411, 501)
# What a server says that knows the checksum and found another one, or that refuses for reasons of its own.
_OTHER_REASONS = ("BadDigest", "InvalidDigest", "AccessDenied", "InvalidAccessKeyId", "ExpiredToken", "NoSuchUpload")


def sent(client: "S3Client", operation: Callable[[], T]) -> T:
    """What `operation` returns, which sends something; tried again without checksums where the server refuses it.

    Where that helps, the client sends no more checksums: manifests have the SHA-256 of every file.
    """
    settings: Any = client.meta.config  # botocore reads it anew for every request.
    asked = settings.request_checksum_calculation
    try:
        return operation()
    except ClientError as error:
        if asked == _NONE or not _may_be_refusal(error):
            raise
        refused = error
    is_first = settings.request_checksum_calculation != _NONE
    settings.request_checksum_calculation = _NONE
    try:
        result = operation()
    except ClientError:
        settings.request_checksum_calculation = asked
        raise refused from None
    if is_first:
        reason = code_of(refused)
        report(f"{endpoint_of(client)} refuses checksums of what it is sent ({reason}); it gets no more of them")
    return result


def _may_be_refusal(error: ClientError) -> bool:
    return status_of(error) in _REFUSALS and code_of(error) not in _OTHER_REASONS
