"""A real S3 server for the whole session; a fresh place in it, and a proxy that makes trouble, for each test."""

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.s3_server import S3Server
from storm_core.artifacts import seal
from storm_core.cli import main
from storm_core.stores.references import open_store
from tests.promotion.conftest import evaluations  # noqa: F401 (a fixture)
from tests.stores.crashing import PART_BYTES, Work, digest_of, publish
from tests.stores.fault_proxy import FaultProxy

Storm = Callable[..., tuple[int, str, str]]

# Names of AWS's own that could lead a client elsewhere.
_OUTSIDE = (
    "AWS_ENDPOINT_URL",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "http_proxy",
    "https_proxy",
)
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """SeaweedFS, which takes less than a second to start."""
    with S3Server(tmp_path_factory.mktemp("s3_server")) as server:
        yield server


@pytest.fixture(scope="session")
def s3_client(s3_server: S3Server) -> Iterator[Any]:
    """A client for the tests' own look at what lies in a bucket; it never meets the proxy."""
    import boto3
    from botocore.config import Config

    environment = s3_server.environment()
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=s3_server.endpoint,
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
        config=Config(s3={"addressing_style": "path"}),
    )
    yield client
    client.close()


@pytest.fixture(scope="session")
def bucket(s3_client: Any) -> str:
    """A bucket for all tests; each has a prefix of its own in it, since a new bucket costs a fifth of a second."""
    s3_client.create_bucket(Bucket="storm-test")
    return "storm-test"


@dataclass(frozen=True, kw_only=True)
class S3Place:
    """Where a test publishes and how it looks at it: the store's URI, its place, and a client of the test's own."""

    uri: str
    bucket: str
    prefix: str
    client: Any

    def list_keys(self) -> list[str]:
        """Every object below the prefix, sorted."""
        listed = self.client.list_objects_v2(Bucket=self.bucket, Prefix=f"{self.prefix}/")
        return sorted(found["Key"] for found in listed.get("Contents", []))

    def read(self, key: str) -> bytes:
        """The content of an object."""
        content: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def write(self, key: str, content: bytes) -> None:
        """Put an object behind the store's back; its metadata stay, as they would in a damaged one."""
        metadata = self.client.head_object(Bucket=self.bucket, Key=key)["Metadata"] if key in self.list_keys() else {}
        self.client.put_object(Bucket=self.bucket, Key=key, Body=content, Metadata=metadata)

    def remove(self, key: str) -> None:
        """Delete an object behind the store's back."""
        self.client.delete_object(Bucket=self.bucket, Key=key)

    def key_of(self, uri: str) -> str:
        """The key that a URI in this bucket names."""
        return uri.removeprefix(f"s3://{self.bucket}/")

    def list_uploads(self) -> list[Any]:
        """The multipart uploads below the prefix that were begun and neither completed nor aborted."""
        listed = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=f"{self.prefix}/")
        return list(listed.get("Uploads", []))


@pytest.fixture
def place(s3_server: S3Server, s3_client: Any, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3Place:
    """A store's place with nothing in it, and the environment that leads there: endpoint, credentials, store, cache."""
    for name in _OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    prefix = f"some/prefix-{next(_numbers)}"
    uri = f"s3://{bucket}/{prefix}"
    settings = {
        **s3_server.environment(),
        "AWS_CONFIG_FILE": str(tmp_path / "no-aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-aws-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "STORM_STORE": uri,
        "STORM_CACHE": str(tmp_path / "cache"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return S3Place(uri=uri, bucket=bucket, prefix=prefix, client=s3_client)


@pytest.fixture
def proxy(s3_server: S3Server, place: S3Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """The proxy, in front of the server for everything that the environment tells where to go."""
    with FaultProxy(s3_server.endpoint) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.endpoint)
        yield running
    assert not running.failures


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files to publish: one of three parts, one of two, small ones, an empty one, a name with a space. Read only."""
    sizes = {
        "model-00001.safetensors": 2 * PART_BYTES + 300_000,
        "model-00002.safetensors": PART_BYTES + 1,
        "config.json": 700,
        "tokenizer/with space.txt": 70_000,
        "tokenizer/empty": 0,
    }
    return write_tree(tmp_path_factory.mktemp("tree"), sizes)


@pytest.fixture(scope="session")
def small_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fewer files to publish: one of two parts, a small one. Read only."""
    sizes = {"model.safetensors": PART_BYTES + 100_000, "config.json": 700}
    return write_tree(tmp_path_factory.mktemp("small_tree"), sizes)


def write_tree(directory: Path, sizes: dict[str, int]) -> Path:
    """Write files of random bytes, the same every time."""
    generator = random.Random(20240819)  # noqa: S311 (not for secrets)
    for name, size in sizes.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(generator.randbytes(size))
    return directory


@pytest.fixture(scope="session")
def digest(tree: Path) -> str:
    """The digest of the artifact that `tree` makes."""
    return digest_of(tree)


@pytest.fixture(scope="session")
def published_for_all(s3_server: S3Server, bucket: str, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """`tree`, published once. Read only."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in s3_server.environment().items():
            environment.setenv(name, value)
        return publish(Work(store=f"s3://{bucket}/published", cache=tmp_path_factory.mktemp("cache"), tree=tree))


@pytest.fixture
def published(place: S3Place, published_for_all: str) -> str:
    """URI of `tree`, published by somebody else, and the environment that leads there. Read only."""
    return published_for_all


@pytest.fixture
def work(place: S3Place, tree: Path, tmp_path: Path) -> Work:
    """What `tests.stores.crashing` is to do: publish `tree` or open it, with the cache of this test."""
    return Work(store=place.uri, cache=tmp_path / "cache", tree=tree)


@pytest.fixture
def fresh(work: Work, tmp_path: Path) -> Work:
    """The same as somebody would do it who has never been here: with an empty cache."""
    return replace(work, cache=tmp_path / "fresh-cache")


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of an empty store, which the environment names too."""
    if request.param == "s3":
        uri: str = request.getfixturevalue("place").uri
        return uri
    uri = (tmp_path / "store").as_uri()
    monkeypatch.setenv("STORM_STORE", uri)
    return uri


@pytest.fixture
def storm(capsys: pytest.CaptureFixture[str]) -> Storm:
    """Run `storm artifact`; gives exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["artifact", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def make(store: str, kind: str, content: bytes, inputs: dict[str, list[str]] | None = None) -> str:
    """Publish a one-file artifact as a stage would; returns its URI."""
    opened = open_store(store)
    directory = opened.staging_directory()
    (directory / "a.bin").write_bytes(content)
    producer = {"verb": f"make-{kind}", "version": "0", "config": {"t": 0.5}}
    manifest = seal(directory, kind, producer=producer, inputs=inputs or {}, metrics={"loss": 0.25})
    return opened.publish(directory, manifest).uri


def digest_in(uri: str) -> str:
    """The digest that the URI of an artifact ends in."""
    return uri.rpartition("/")[2]


def files_below(store: str, place: Any) -> list[str]:
    if store.startswith("s3://"):
        keys: list[str] = place.list_keys()
        return keys
    root = Path(store.removeprefix("file://"))
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.fixture
def listed(store: str, request: pytest.FixtureRequest) -> Callable[[], list[str]]:
    """Every file in the store, looked at without our own code."""
    place = request.getfixturevalue("place") if store.startswith("s3://") else None
    return lambda: files_below(store, place)
