"""What an error of S3 says: its code, its HTTP status and its message."""

from botocore.exceptions import ClientError


def code_of(error: ClientError) -> str:
    """The S3 error code, or the HTTP status where the answer had no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    """The HTTP status; 0 where there was none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def message_of(error: ClientError) -> str:
    """The server's own words in one line; empty where there are none."""
    return " ".join(str(error.response.get("Error", {}).get("Message", "")).split())
