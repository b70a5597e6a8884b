"""The rights that requests to S3 ask for, and what to do where one is denied.

Source: "Actions, resources, and condition keys for Amazon S3" in Amazon's service authorization reference.
"""

import os
import re

from botocore.exceptions import ClientError

from storm_core.stores.s3_codes import code_of, message_of
from storm_core.stores.s3_encryption import ENCRYPTION_VARIABLE

# By the name of the request.
RIGHT_OF = {
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "ListParts": "s3:ListMultipartUploadParts",
    "ListObjectsV2": "s3:ListBucket",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
}
_READING, _LISTING = "s3:GetObject", "s3:ListBucket"
# How servers say that a user may not do what was asked; a HEAD is answered without a code.
_DENIED = ("AccessDenied", "403", "Forbidden", "AccessForbidden", "UnauthorizedAccess")
_NOT_IMPLEMENTED = ("NotImplemented", "MethodNotAllowed", "501", "405")
# Amazon names the action; with encryption it may be one of its key service.
_NAMED = re.compile(r"not authorized to perform: ([\w-]+:\w+)")


def is_denied(error: ClientError) -> bool:
    """Whether the server knows the user, who may not do this."""
    return code_of(error) in _DENIED


def is_unavailable(error: ClientError) -> bool:
    """Whether the user may not do this, or nobody may because the server knows no such request."""
    return is_denied(error) or code_of(error) in _NOT_IMPLEMENTED


def needed_right(error: ClientError) -> str:
    """The action that was denied: the one that the server names, else what the request asks for."""
    named = _NAMED.search(message_of(error))
    return named[1] if named else RIGHT_OF.get(error.operation_name, f"s3:{error.operation_name}")


def denied_in_words(error: ClientError) -> str:
    """Request, code and the server's own words, and what to do."""
    said = message_of(error)
    words = f"{error.operation_name}: {code_of(error)}{': ' if said else ''}{said}"
    right = needed_right(error)
    if right == _LISTING and RIGHT_OF.get(error.operation_name) == _READING:
        return f"({words}); there is no such object, which its user needs the right {right} to be told"
    return f"({words}); its user needs the right {right} there{_more(error)}"


def _more(error: ClientError) -> str:
    right = RIGHT_OF.get(error.operation_name)
    if right == _READING:
        return f", and {_LISTING} to be told when there is no such object"
    if right == "s3:PutObject" and not os.environ.get(ENCRYPTION_VARIABLE):
        return f"; if a policy asks for encryption, set {ENCRYPTION_VARIABLE} to AES256 or aws:kms"
    if right == "s3:AbortMultipartUpload":
        return ", or a rule of the bucket does it: see manifests/bucket/unfinished_uploads.json"
    return ""
