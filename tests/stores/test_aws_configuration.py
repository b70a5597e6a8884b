"""What the AWS variables and files say holds: addresses, attempts, certificates, proxies, encryption."""

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from botocore.awsrequest import AWSResponse

from storm_core.errors import StoreError
from storm_core.stores import s3_client
from storm_core.stores.locations import S3Location
from storm_core.stores.s3_client import make_client, put_object

PLACE = S3Location(bucket="models", key="a.bin")
OWN = "http://s3.store.example:9000"
MakeClient = Callable[..., Any]


@pytest.fixture(autouse=True)
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of this machine's; credentials, and files to be written."""
    for name in [name for name in os.environ if name.upper().startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret-of-somebody",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    yield


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """The requests by which an object is put, as this file and these variables say; each is answered `status`."""

    def ask(config: str = "", variables: Mapping[str, str] | None = None, status: int = 200) -> list[Any]:
        (tmp_path / "config").write_text(config)
        for name, value in (variables or {}).items():
            monkeypatch.setenv(name, value)
        client, requests = make_client(), []

        def answer(request: Any, **_: object) -> AWSResponse:
            requests.append(request)
            headers: Any = {"ETag": '"0"'}
            return AWSResponse(request.url, status, headers, _Body())

        handler: Any = answer  # boto3's types know of no answer.
        client.meta.events.register("before-send.s3", handler)
        try:
            put_object(client, PLACE, b"content")
        except StoreError:
            assert status != 200
        return requests

    return ask


class _Body:
    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        return iter(())

    def read(self, *_: object) -> bytes:
        return b""


VIRTUAL, PATH = "http://models.s3.store.example:9000/a.bin", f"{OWN}/models/a.bin"
AMAZONS = "https://models.s3.eu-west-1.amazonaws.com/a.bin"
STYLE = "[default]\nregion = eu-west-1\ns3 =\n  addressing_style = {}\n"
SERVICES = f"[profile team]\nservices = ours\n[services ours]\ns3 =\n  endpoint_url = {OWN}\n"


@pytest.mark.parametrize(
    ("config", "variables", "url"),
    [
        ("", {"AWS_ENDPOINT_URL": OWN}, PATH),
        ("", {"AWS_ENDPOINT_URL": "http://other.example", "AWS_ENDPOINT_URL_S3": OWN}, PATH),
        (f"[default]\nendpoint_url = {OWN}\n", {}, PATH),
        (SERVICES, {"AWS_PROFILE": "team"}, PATH),
        (STYLE.format("path"), {"AWS_ENDPOINT_URL": OWN}, PATH),
        (STYLE.format("virtual"), {"AWS_ENDPOINT_URL": OWN}, VIRTUAL),
        (STYLE.format("auto"), {"AWS_ENDPOINT_URL": OWN}, PATH),
        (SERVICES + "[default]\n", {"AWS_REGION": "eu-west-1"}, AMAZONS),
        (STYLE.format("path"), {}, "https://s3.eu-west-1.amazonaws.com/models/a.bin"),
        ("", {"AWS_REGION": "eu-west-1"}, AMAZONS),
        (
            STYLE.format("virtual"),
            {"AWS_ENDPOINT_URL": OWN, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
            AMAZONS,
        ),
        ("[default]\ns3 =\n  use_accelerate_endpoint = true\n", {}, "https://models.s3-accelerate.amazonaws.com/a.bin"),
    ],
)
def test_address_is_as_the_configuration_says(
    config: str, variables: dict[str, str], url: str, asked: Callable[..., list[Any]]
) -> None:
    (request,) = asked(config, variables)
    assert request.url == url


@pytest.mark.parametrize(
    ("config", "variables", "attempts"),
    [
        ("", {}, s3_client._ATTEMPTS),
        ("", {"AWS_MAX_ATTEMPTS": "2"}, 2),
        ("[default]\nmax_attempts = 3\n", {}, 3),
        ("[default]\nretry_mode = adaptive\nmax_attempts = 1\n", {}, 1),
    ],
)
@pytest.mark.parametrize("status", [500, 503])
def test_attempts_are_as_many_as_the_configuration_says(
    config: str,
    variables: dict[str, str],
    attempts: int,
    status: int,
    asked: Callable[..., list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A server that is away is tried longer by a person's leave alone.
    monkeypatch.setattr(s3_client, "_PATIENCE_SECONDS", 0.0)
    requests = asked(config, {"AWS_ENDPOINT_URL": OWN, **variables}, status=status)
    assert len(requests) == attempts


@pytest.mark.parametrize("named", ["AWS_CA_BUNDLE", "ca_bundle"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_are_those_of_the_configuration(
    named: str, content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content:
        bundle.write_text(content)
    if named == "ca_bundle":
        (tmp_path / "config").write_text(f"[default]\nca_bundle = {bundle}\n")
    else:
        monkeypatch.setenv(named, str(bundle))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{listening.getsockname()[1]}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        with pytest.raises(StoreError, match="AWS_CA_BUNDLE") as caught:
            put_object(make_client(), PLACE, b"")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "headers"),
    [
        ({}, {}),
        ({"AWS_SERVER_SIDE_ENCRYPTION": "AES256"}, {"x-amz-server-side-encryption": b"AES256"}),
        (
            {"AWS_SERVER_SIDE_ENCRYPTION": "aws:kms", "AWS_SSE_KMS_KEY_ID": "alias/ours"},
            {
                "x-amz-server-side-encryption": b"aws:kms",
                "x-amz-server-side-encryption-aws-kms-key-id": b"alias/ours",
            },
        ),
    ],
)
def test_encryption_is_asked_for_where_a_variable_names_it(
    variables: dict[str, str], headers: dict[str, bytes], asked: Callable[..., list[Any]]
) -> None:
    (request,) = asked("", {"AWS_ENDPOINT_URL": OWN, **variables})
    sent = {name.lower(): value for name, value in request.headers.items()}
    assert {name: value for name, value in sent.items() if "server-side" in name} == headers


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"AWS_SERVER_SIDE_ENCRYPTION": "kms"}, "must be AES256, aws:kms, aws:kms:dsse, got 'kms'"),
        ({"AWS_SSE_KMS_KEY_ID": "alias/ours"}, "AWS_SSE_KMS_KEY_ID needs AWS_SERVER_SIDE_ENCRYPTION=aws:kms"),
        ({"AWS_SERVER_SIDE_ENCRYPTION": "sse-c"}, "SSE-C"),
        ({"AWS_SSE_CUSTOMER_KEY_BASE64": "a2V5"}, "SSE-C.* unset AWS_SSE_CUSTOMER_KEY_BASE64"),
    ],
)
def test_encryption_that_there_is_not_is_refused(
    variables: dict[str, str], words: str, asked: Callable[..., list[Any]]
) -> None:
    with pytest.raises(StoreError, match=words):
        asked("", variables)


@pytest.mark.parametrize(
    ("config", "variables"),
    [
        ("", {"AWS_PROFILE": "nobody"}),
        ("", {"AWS_MAX_ATTEMPTS": "many"}),
        ("[default\n", {}),
        ("", {"AWS_ENDPOINT_URL": "s3.store.example"}),
        (STYLE.format("sideways"), {}),
        ("", {"AWS_RETRY_MODE": "never"}),
        ("", {"AWS_REQUEST_CHECKSUM_CALCULATION": "perhaps"}),
        ("[default]\nsso_session = gone\nsso_account_id = 1\n", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}),
    ],
)
def test_configuration_that_cannot_be_used_is_one_line(
    config: str, variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(config)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreError) as caught:
        put_object(make_client(), PLACE, b"")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_PROFILE", "nobody"),
        ("AWS_MAX_ATTEMPTS", "many"),
        ("AWS_ENDPOINT_URL", "s3.store.example"),
        ("AWS_REGION", "us east 1"),
        ("AWS_RETRY_MODE", "never"),
    ],
)
def test_variable_that_cannot_be_used_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StoreError, match=name):
        make_client()


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"])
@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {}", "\t{}", "{}\u00a0"])
def test_blank_around_a_variable_is_told_before_any_request(
    name: str, around: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, around.format("value-of-it"))
    with pytest.raises(StoreError, match=f"^{name} begins or ends with a blank") as caught:
        make_client()
    assert "value-of-it" not in str(caught.value)


@pytest.mark.parametrize("section", ["s3 = addressing_style=virtual", "s3 =", "s3 = {addressing_style: path}"])
def test_section_that_is_none_is_told_as_it_is_written(section: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(f"[default]\n{section}\n")
    with pytest.raises(StoreError, match="no section; write `s3 =`"):
        make_client()


NO_KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


@pytest.mark.parametrize(
    ("process", "variables", "words"),
    [
        ("/no/such/program", {}, "/no/such/program"),
        ("false", {}, "custom-process"),
        ("echo no JSON", {}, "cannot be used"),
        ("echo []", {}, "credential_process"),
        ("echo {}", {}, "custom-process"),
        ("", {"AWS_WEB_IDENTITY_TOKEN_FILE": "/no/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/x"}, "TOKEN_FILE"),
        ("", {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/x"}, "example.com"),
    ],
)
def test_credentials_that_cannot_be_had_are_one_line_before_any_request(
    process: str, variables: dict[str, str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {process}\n" if process else "")
    for name, value in (NO_KEYS | variables).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreError, match=words) as caught:
        make_client()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "HTTP_PROXY"])
@pytest.mark.parametrize("password", ["hunter-2-hunter", "a%2Fb%40c-word"])
def test_password_in_an_address_is_not_shown(
    name: str, password: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", OWN)
    monkeypatch.setenv(name, f"http://somebody:{password}@127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StoreError) as caught:
        put_object(make_client(), PLACE, b"")
    said = f"{caught.value} {capsys.readouterr()}"
    assert "127.0.0.1:9" in said and password not in said and unquote(password) not in said and "\n" not in said
