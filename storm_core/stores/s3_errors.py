"""What goes wrong with an S3 server, in words: what it refuses, and what it lacks of what a store needs."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from storm_core.errors import StoreError
from storm_core.redaction import without_secrets
from storm_core.stores.locations import S3Location
from storm_core.stores.rights import MissingRightError
from storm_core.stores.s3_codes import code_of, message_of, status_of
from storm_core.stores.s3_rights import denied_in_words, is_denied

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_UNKNOWN_USER = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken")
_MISSING = ("NoSuchKey", "NotFound", "404")
_TAKEN = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
# What to do about a code whose own message does not say it.
_REMEDIES = {
    "ExpiredToken": "its credentials are over; get new ones and set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
    "AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "the clock of this machine or that of the server is wrong; set it right",
    "SecondLevelDomainForbidden": "it takes a bucket as part of the host's name; set addressing_style = virtual in the "
    "section s3 of ~/.aws/config",
    "InvalidObjectState": "the object is archived; restore it first",
}
# What to do about a code whose own message says what is wrong.
_REGION = "set AWS_REGION to the region of the bucket"
_ADVICE = {"AuthorizationHeaderMalformed": _REGION, "IllegalLocationConstraintException": _REGION}
# What an answer without a code of S3 comes from, by its status.
_BY_OTHERS = {
    401: "it, or what stands before it, asks for a log-in of another kind",
    407: "a proxy asks for a user: give HTTPS_PROXY one with its password, or name the server in NO_PROXY",
    413: "it, or what stands before it, takes no request of this size; 16 MiB are needed (nginx: client_max_body_size)",
}
_NO_S3 = "does AWS_ENDPOINT_URL name the S3 server, and no page or proxy before it?"
_CERTIFICATES = (
    "; AWS_CA_BUNDLE, or ca_bundle in ~/.aws/config, names a file with the certificates of who signed the server's"
)


class NotS3Error(Exception):
    """An answer lacks what every S3 server says; the message is the name of that."""


@contextlib.contextmanager
def errors_in_words(client: "S3Client", location: S3Location) -> Iterator[None]:
    """Turn what boto3 raises about `location` into a `StoreError` that says what to do.

    It is a `MissingRightError` where the server knows the user, who may not do this.
    """
    endpoint = endpoint_of(client)
    try:
        yield
    except ClientError as error:
        if is_denied(error):
            words = f"{endpoint} denies access to {location.uri} {denied_in_words(error)}"
            raise MissingRightError(words) from error
        raise StoreError(_explain(error, location, endpoint)) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise StoreError(
            f"no complete credentials for {location.uri}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give "
            "this machine a role"
        ) from error
    except (BotoCoreError, NoRegionError) as error:
        reason = without_secrets(" ".join(str(error).split())) + (_CERTIFICATES if isinstance(error, SSLError) else "")
        raise StoreError(f"{location.uri}: the S3 server at {endpoint} cannot be used: {reason}") from error
    except (NotS3Error, ResponseParserError) as error:
        reason = f"no {error}" if isinstance(error, NotS3Error) else "no XML of S3"
        raise StoreError(
            f"{location.uri}: {endpoint} answers, but not as an S3 server does ({reason}); {_NO_S3}"
        ) from error


def endpoint_of(client: "S3Client") -> str:
    """The address that the client asks, without a user."""
    return without_secrets(client.meta.endpoint_url)


def said(answer: Mapping[str, Any], name: str) -> Any:
    """What the answer says under `name`.

    Raises:
        NotS3Error: it does not; see `errors_in_words`.
    """
    if answer.get(name) is None:
        raise NotS3Error(name)
    return answer[name]


def is_missing(error: ClientError) -> bool:
    """Whether the error says that there is no such object."""
    return code_of(error) in _MISSING


def is_taken(error: ClientError) -> bool:
    """Whether the error says that a put with `If-None-Match: *` found an object there."""
    return code_of(error) in _TAKEN


def lacks_conditional_writes(client: "S3Client", location: S3Location, error: ClientError) -> StoreError | None:
    """What to say where the error means that the server knows no `If-None-Match`; None where it means anything else."""
    message = message_of(error).lower()
    if status_of(error) != 501 and not (status_of(error) == 400 and "none-match" in message):
        return None
    return StoreError(
        f"{location.uri}: the S3 server at {endpoint_of(client)} has no conditional writes (If-None-Match), by "
        "which processes that share a store agree; use a release of it, or a server, that has them (SeaweedFS, MinIO, "
        "Ceph and Amazon do), or a store on a file system (file:///...)"
    )


def _explain(error: ClientError, location: S3Location, endpoint: str) -> str:
    code = code_of(error)
    if code == "NoSuchBucket":
        return f"there is no bucket {location.bucket!r} at {endpoint}; create it, or correct the URI {location.uri}"
    if code in _UNKNOWN_USER:
        return (
            f"{endpoint} denies access to {location.uri} ({code}): it does not know this user; check "
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the profile of AWS_PROFILE"
        )
    if 300 <= status_of(error) < 400:
        return _redirected(error, location, endpoint)
    if code in _REMEDIES:
        return f"{location.uri}: {endpoint} refuses the request ({code}): {_REMEDIES[code]}"
    status = status_of(error)
    if status in _BY_OTHERS or code == "":
        return f"{location.uri}: {endpoint} answers with HTTP {status}; {_BY_OTHERS.get(status, _NO_S3)}"
    operation = error.operation_name
    message = message_of(error)
    advice = f"; {_ADVICE[code]}" if code in _ADVICE else ""
    retries = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)
    tried = f" after {retries + 1} attempts" if retries else ""
    said = f"{code}{': ' if message else ''}{message} (server {endpoint}){advice}"
    return f"{location.uri}: {operation} failed{tried}: {said}"


def _redirected(error: ClientError, location: S3Location, endpoint: str) -> str:
    """What to say of a server that sends its clients elsewhere, which a signed request cannot follow."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    named: Any = error.response.get("Error", {})
    target = headers.get("location") or named.get("Endpoint") or ""
    where = f" to {target.partition('?')[0]}" if target else ""
    return (
        f"{location.uri}: {endpoint} redirects the request{where}; set AWS_ENDPOINT_URL_S3, or else AWS_ENDPOINT_URL, "
        "to the address that serves the bucket, https:// and port included, and AWS_REGION to its region"
    )
