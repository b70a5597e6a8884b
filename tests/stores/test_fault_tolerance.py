"""What a network and a server do on bad days: retried where that is right, a clear error where it is not."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.s3_server import READER, S3Server
from storm_core.errors import InputError, StoreError
from storm_core.stores import s3_client
from tests.stores.conftest import S3Place
from tests.stores.crashing import Work, digest_of, make_store, open_artifact, publish, seal_tree
from tests.stores.fault_proxy import (
    Fault,
    FaultProxy,
    answer_error,
    corrupt_request,
    corrupt_response,
    do_first,
    reset_after,
    reset_before,
    stall,
    truncate,
)

PASSING_FAULTS: dict[str, Fault] = {
    "500": answer_error(500, "InternalError"),
    "503": answer_error(503, "SlowDown"),
    "reset before": reset_before(),
    "reset after": reset_after(),
}
# Every kind of request that publishing makes, and opening.
PUBLISH_REQUESTS = {
    "look for the manifest": ("GET", r"manifest\.json$"),
    "look for a file": ("HEAD", r"model\.safetensors$"),
    "look for an upload": ("GET", r"\?uploads"),
    "begin an upload": ("POST", r"\?uploads"),
    "send a part": ("PUT", "partNumber=1"),
    "complete an upload": ("POST", r"\?uploadId"),
    "send a small file": ("PUT", r"config\.json$"),
    "send the manifest": ("PUT", r"manifest\.json$"),
    "list the files": ("GET", "list-type=2"),
}
# Those that nothing is published without, as S3's reference calls them.
WRITES = {
    "begin an upload": "CreateMultipartUpload",
    "send a part": "UploadPart",
    "complete an upload": "CompleteMultipartUpload",
    "send a small file": "PutObject",
    "send the manifest": "PutObject",
}
OPEN_REQUESTS = {
    "read the manifest": ("GET", r"manifest\.json$"),
    "read a range": ("GET", r"model\.safetensors$"),
    "read a small file": ("GET", r"config\.json$"),
}


@pytest.fixture
def tree(small_tree: Path) -> Path:
    """Two partial results, six ranges and a small file are enough here."""
    return small_tree


@pytest.fixture(scope="module")
def digest(small_tree: Path) -> str:
    """The digest of the artifact that they make."""
    return digest_of(small_tree)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two attempts in the place of six, and no wait for a server that is away."""
    monkeypatch.setattr(s3_client, "_ATTEMPTS", 2)
    monkeypatch.setattr(s3_client, "_PATIENCE_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next attempt follows at once."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _seconds: None))
    monkeypatch.setattr(s3_client, "random", SimpleNamespace(random=lambda: 0.0))


@pytest.mark.parametrize("fault", PASSING_FAULTS)
def test_every_request_of_publishing_is_made_again_after(
    fault: str, work: Work, fresh: Work, proxy: FaultProxy, place: S3Place, digest: str
) -> None:
    for method, path in PUBLISH_REQUESTS.values():
        proxy.spoil(PASSING_FAULTS[fault], method=method, path=path)
    uri = publish(work)
    assert proxy.unused_faults() == 0
    assert open_artifact(replace(fresh, uri=uri)) == digest
    # An upload whose number the client never learnt stays behind; `storm artifact gc` finds it.
    assert len(place.list_uploads()) == (fault == "reset after")


@pytest.mark.parametrize("fault", PASSING_FAULTS)
def test_every_request_of_opening_is_made_again_after(
    fault: str, work: Work, fresh: Work, proxy: FaultProxy, digest: str
) -> None:
    uri = publish(work)
    for method, path in OPEN_REQUESTS.values():
        proxy.spoil(PASSING_FAULTS[fault], method=method, path=path)
    assert open_artifact(replace(fresh, uri=uri)) == digest
    assert proxy.unused_faults() == 0


@pytest.mark.parametrize("keep_bytes", [0, 1, 500])
def test_body_that_breaks_off_is_read_again(
    keep_bytes: int, work: Work, fresh: Work, proxy: FaultProxy, digest: str
) -> None:
    uri = publish(work)
    for method, path in OPEN_REQUESTS.values():
        proxy.spoil(truncate(keep_bytes), method=method, path=path)
    assert open_artifact(replace(fresh, uri=uri)) == digest
    assert proxy.unused_faults() == 0


def test_stalled_answer_is_given_up_and_asked_for_again(
    work: Work, fresh: Work, proxy: FaultProxy, digest: str
) -> None:
    for method, path in (PUBLISH_REQUESTS["send a part"], PUBLISH_REQUESTS["look for the manifest"]):
        proxy.spoil(stall(30), method=method, path=path)
    uri = publish(replace(work, read_timeout_seconds=1.0))
    proxy.spoil(stall(30), path=r"model\.safetensors$")
    assert open_artifact(replace(fresh, uri=uri, read_timeout_seconds=1.0)) == digest
    assert proxy.unused_faults() == 0


def test_default_read_timeout_is_shorter_than_a_stall_of_30_seconds() -> None:
    assert s3_client.READ_TIMEOUT_SECONDS < 30


def test_byte_changed_on_the_way_from_the_server_is_never_passed_on(
    work: Work, fresh: Work, proxy: FaultProxy, digest: str
) -> None:
    uri = publish(work)
    proxy.spoil(corrupt_response(1000), path=r"model\.safetensors$")
    assert open_artifact(replace(fresh, uri=uri)) == digest
    assert proxy.unused_faults() == 0


@pytest.mark.parametrize("request_name", ["send a part", "send a small file", "send the manifest"])
def test_byte_changed_on_the_way_to_the_server_is_not_published(
    request_name: str, work: Work, fresh: Work, proxy: FaultProxy, digest: str
) -> None:
    method, path = PUBLISH_REQUESTS[request_name]
    proxy.spoil(corrupt_request(100), method=method, path=path)
    with pytest.raises(StoreError):
        publish(work)
    assert proxy.unused_faults() == 0
    assert open_artifact(replace(fresh, uri=publish(work))) == digest


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("request_name", PUBLISH_REQUESTS)
def test_server_that_stays_broken_is_an_error_that_names_it(
    request_name: str, work: Work, place: S3Place, proxy: FaultProxy
) -> None:
    method, path = PUBLISH_REQUESTS[request_name]
    proxy.spoil(answer_error(500, "InternalError"), method=method, path=path, times=99)
    message = failure(lambda: publish(work))
    assert place.uri in message
    assert proxy.endpoint in message


@pytest.mark.parametrize("request_name", WRITES)
def test_denied_request_is_not_repeated_and_named(request_name: str, work: Work, proxy: FaultProxy) -> None:
    method, path = PUBLISH_REQUESTS[request_name]
    proxy.spoil(answer_error(403, "AccessDenied"), method=method, path=path, times=99)
    message = failure(lambda: publish(work))
    assert "denies access" in message and f"({WRITES[request_name]}: AccessDenied" in message
    assert "needs the right s3:PutObject" in message
    assert len([one for one in proxy.requests(method, path) if one.status == 403]) == 1


def test_user_who_may_only_read_can_open_and_not_publish(
    work: Work, fresh: Work, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, digest: str
) -> None:
    uri = publish(work)
    for name, value in s3_server.environment(READER).items():
        monkeypatch.setenv(name, value)
    assert open_artifact(replace(fresh, uri=uri)) == digest
    message = failure(lambda: publish(replace(work, store=f"{work.store}/elsewhere")))
    assert "denies access" in message


@pytest.mark.parametrize(("name", "value"), [("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "nobody")])
def test_wrong_credentials_are_named_and_never_shown(
    name: str, value: str, work: Work, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    message = failure(lambda: publish(work))
    assert "denies access" in message
    assert "AWS_ACCESS_KEY_ID" in message
    assert s3_server.environment()["AWS_SECRET_ACCESS_KEY"] not in message


def test_missing_credentials_are_named(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "AWS_ACCESS_KEY_ID" in failure(lambda: publish(work))


@pytest.mark.parametrize("operation", ["publish", "open", "recall", "remember", "parts", "places"])
def test_missing_bucket_is_named(operation: str, work: Work, digest: str) -> None:
    nowhere = replace(work, store="s3://storm-no-such-bucket/x")
    store = make_store(nowhere)
    operations: dict[str, Callable[[], object]] = {
        "publish": lambda: publish(nowhere),
        "open": lambda: open_artifact(replace(nowhere, uri=f"{nowhere.store}/model/{digest}")),
        "recall": lambda: store.recall("key"),
        "remember": lambda: store.remember("key", {}),
        "parts": lambda: store.partial_results("key").names(),
        "places": lambda: list(store.places()),
    }
    assert "no bucket 'storm-no-such-bucket'" in failure(operations[operation])


@pytest.mark.usefixtures("impatient")
def test_server_that_cannot_be_reached_is_named(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9" in failure(lambda: publish(work))


@pytest.mark.parametrize("endpoint", ["not a url", "ftp://127.0.0.1", "http://"])
@pytest.mark.usefixtures("impatient")
def test_endpoint_that_is_no_address_is_named(endpoint: str, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    assert endpoint in failure(lambda: publish(work))


@pytest.mark.usefixtures("place")
def test_rival_that_publishes_first_wins_and_both_succeed(
    work: Work, fresh: Work, proxy: FaultProxy, place: S3Place, tmp_path: Path, digest: str
) -> None:
    rival = replace(work, cache=tmp_path / "rival")
    uris: list[str] = []
    proxy.spoil(do_first(lambda: uris.append(publish(rival))), method="PUT", path=r"manifest\.json$")
    uris.append(publish(work))
    assert uris[0] == uris[1]
    assert [one.status for one in proxy.requests("PUT", r"manifest\.json$")] == [200, 412]
    assert len([key for key in place.list_keys() if key.endswith("manifest.json")]) == 1
    assert open_artifact(replace(fresh, uri=uris[0])) == digest


def test_rival_that_completes_the_same_upload_first_is_no_error(
    work: Work, fresh: Work, proxy: FaultProxy, place: S3Place, tmp_path: Path, digest: str
) -> None:
    rival = replace(work, cache=tmp_path / "rival")
    proxy.spoil(do_first(lambda: publish(rival)), method="PUT", path="partNumber=2")
    uri = publish(work)
    assert open_artifact(replace(fresh, uri=uri)) == digest
    assert place.list_uploads() == []


def test_upload_that_somebody_aborts_is_begun_again(
    work: Work, fresh: Work, proxy: FaultProxy, place: S3Place, digest: str
) -> None:
    def abort() -> None:
        (upload,) = place.list_uploads()
        place.client.abort_multipart_upload(Bucket=place.bucket, Key=upload["Key"], UploadId=upload["UploadId"])

    proxy.spoil(do_first(abort), method="POST", path=r"\?uploadId")
    uri = publish(work)
    assert open_artifact(replace(fresh, uri=uri)) == digest


def test_file_that_changes_while_it_is_published_stops_the_publishing(work: Work, place: S3Place) -> None:
    store = make_store(work)
    directory = store.staging_directory()
    shutil.copytree(work.tree, directory, dirs_exist_ok=True)
    manifest = seal_tree(directory)
    content = bytearray((directory / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (directory / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.safetensors changed"):
        store.publish(directory, manifest)
    store.access.client.close()
    assert not [key for key in place.list_keys() if "model.safetensors" in key or "manifest" in key]
    assert place.list_uploads() == []


def failure(action: Callable[[], object]) -> str:
    """The message of the `StoreError` that the action ends with, which is one line."""
    with pytest.raises(StoreError) as caught:
        action()
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message
