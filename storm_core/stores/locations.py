"""Where artifacts lie: a directory, a place in a bucket, a repository of a hub. `uris.py` makes these from text."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar


@dataclass(frozen=True, kw_only=True)
class FileLocation:
    """`file:///path`: an absolute local path."""

    path: Path

    def below(self, *parts: str) -> "FileLocation":
        """The place of that name below this one."""
        return FileLocation(path=self.path.joinpath(*parts))

    @property
    def parent(self) -> "FileLocation":
        """The place that this one lies in."""
        return FileLocation(path=self.path.parent)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    @property
    def uri(self) -> str:
        """The location as a URI."""
        return self.path.as_uri()


@dataclass(frozen=True, kw_only=True)
class S3Location:
    """`s3://bucket/key`: a place in a bucket; `key` has no slash at either end and may be empty."""

    bucket: str
    key: str

    def below(self, *parts: str) -> "S3Location":
        """The place of that name below this one."""
        return S3Location(bucket=self.bucket, key="/".join(part for part in (self.key, *parts) if part))

    @property
    def parent(self) -> "S3Location":
        """The place that this one lies in; the whole bucket lies in itself."""
        return S3Location(bucket=self.bucket, key=self.key.rpartition("/")[0])

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def uri(self) -> str:
        """The location as a URI."""
        return f"s3://{self.bucket}/{self.key}".rstrip("/")


@dataclass(frozen=True, kw_only=True)
class HubLocation:
    """`hf://org/name@revision`, or `hf://datasets/org/name@revision`; `revision` is None where none is given."""

    repository: str
    revision: str | None
    is_dataset: bool

    @property
    def uri(self) -> str:
        """The location as a URI."""
        prefix = "hf://datasets/" if self.is_dataset else "hf://"
        return prefix + self.repository + (f"@{self.revision}" if self.revision else "")


StoreLocation = FileLocation | S3Location
Location = StoreLocation | HubLocation
# For what is below a location of one kind of store and is of that kind again.
L = TypeVar("L", FileLocation, S3Location)
