"""The URIs of stores, artifacts and hub repositories, parsed once and contained.

A URI comes from outside: a flag, a manifest, a pipeline parameter. Whatever could lead out of the place it names, or
carry a secret, is refused here. Only the modules where such text comes in import this one; all others are given a
location.
"""

import re
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from storm_core.errors import InputError
from storm_core.stores.locations import FileLocation, HubLocation, Location, S3Location

_MAX_LENGTH = 4096
_REFUSED = ("\\", "?", "#", ";")
# Control characters, and halves of surrogate pairs, which no encoding holds.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ESCAPE = re.compile(r"%(.{0,2})", re.DOTALL)
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w.-]{0,254}(/[A-Za-z0-9][\w.-]*)*", re.ASCII)


def parse_uri(uri: str) -> Location:
    """What `uri` names.

    Raises:
        InputError: another scheme; a path that climbs; a query, fragment, backslash, control character or user info;
            or a name that the scheme does not allow. Says which.
    """
    if len(uri) > _MAX_LENGTH:
        start = _shown(uri)[:60]
        raise InputError(f"a URI of {len(uri)} characters, starting {start}, is too long; {_MAX_LENGTH} at most")
    for character in uri:
        if character in _REFUSED or _CONTROL.fullmatch(character):
            escaped = uri.startswith("file://") and character in "?#;"
            advice = f"write it as {quote(character)}" if escaped else "write the plain path"
            raise InputError(f"{_shown(uri)} holds {character!r}, which no store URI may; {advice}")
    scheme, separator, rest = uri.partition("://")
    if separator and scheme == "file":
        return _parse_file(uri, rest)
    if separator and scheme == "s3":
        return _parse_s3(uri, rest)
    if separator and scheme == "hf":
        return _parse_hub(uri, rest)
    raise InputError(f"{_shown(uri)} is not a URI of a store: it must start with file:///, s3:// or hf://")


def _parse_file(uri: str, rest: str) -> FileLocation:
    if not rest.startswith("/") or rest.startswith("//"):
        raise InputError(f"{_shown(uri)} must be file:/// and an absolute path, without a host")
    # An escaped % is a % and no escape again: the path is resolved once, and written by `FileLocation.uri`.
    for escape in _ESCAPE.findall(rest):
        if not re.fullmatch("[0-9a-fA-F]{2}", escape) or int(escape, 16) in b"\0\\/.":
            raise InputError(f"{_shown(uri)} holds the escape '%{escape}'; write that character plainly or not at all")
    try:
        path = unquote_to_bytes(rest).decode()
    except UnicodeDecodeError:
        raise InputError(f"{_shown(uri)} does not spell a path in UTF-8") from None
    _check_segments(uri, path[1:].removesuffix("/"))
    if any(ord(character) < 0x20 for character in path):
        raise InputError(f"{_shown(uri)} holds an escaped control character")
    return FileLocation(path=Path(path))


def _parse_s3(uri: str, rest: str) -> S3Location:
    bucket, _, key = rest.partition("/")
    if "@" in bucket or (":" in bucket and "@" in key):
        raise InputError(f"{_shown(uri)} carries user information; credentials come from the AWS variables only")
    if not _BUCKET.fullmatch(bucket):
        raise InputError(f"{_shown(uri)} must be s3://bucket/prefix; {bucket!r} is not the name of a bucket")
    if "%" in key:
        raise InputError(f"{_shown(uri)} holds an escape (%); write the key plainly")
    if key != key.rstrip():
        raise InputError(f"{_shown(uri)} ends with a blank; write it without")
    key = key.removesuffix("/")
    _check_segments(uri, key)
    return S3Location(bucket=bucket, key=key)


def _parse_hub(uri: str, rest: str) -> HubLocation:
    is_dataset = rest.startswith("datasets/")
    repository, separator, revision = rest.removeprefix("datasets/").partition("@")
    fits = _REPOSITORY.fullmatch(repository) and (not separator or _REVISION.fullmatch(revision))
    if not fits or ".." in rest:
        raise InputError(f"{_shown(uri)} must be hf://org/name@revision, or hf://datasets/org/name@revision")
    return HubLocation(repository=repository, revision=revision or None, is_dataset=is_dataset)


def _check_segments(uri: str, path: str) -> None:
    for segment in path.split("/") if path else ():
        if segment in ("", ".", ".."):
            raise InputError(f"{_shown(uri)} has the path segment {segment!r}; write the plain path")


def _shown(uri: str) -> str:
    """The URI for a message, without what may be a password in front of an @."""
    scheme, separator, rest = uri.partition("://")
    host = rest.partition("/")[0]
    if separator and ":" in host and "@" in rest:  # A password may hold a slash.
        rest = "***@" + rest.rpartition("@")[2]
    elif separator and scheme != "hf" and "@" in host:
        rest = "***@" + host.rpartition("@")[2] + rest[len(host) :]
    return repr(scheme + separator + rest)
