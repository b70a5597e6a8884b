"""Lines for people hold no secret, wherever it comes from."""

import itertools

import pytest

from storm_core.log_lines import write_line
from storm_core.progress import answer
from storm_core.redaction import without_secrets

SECRETS = ("hunter-2-hunter", "with/slash/in-it", "a+b=c&d", "(brackets]", "words of it", "Ünïcode-word")
NAMES = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "HF_TOKEN",
    "OPENAI_API_KEY",
)
ADDRESSES = ("MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL_S3", "HTTPS_PROXY", "all_proxy")


@pytest.mark.parametrize(("name", "secret"), list(itertools.product(NAMES, SECRETS)))
def test_value_of_a_secret_variable_is_in_no_line(
    name: str, secret: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, secret)
    write_line(f"the server says: {secret}, no")
    answer(f"{secret} was given")
    printed = capsys.readouterr()
    assert (printed.err, printed.out) == ("the server says: ***, no\n", "*** was given\n")


@pytest.mark.parametrize(("name", "secret"), list(itertools.product(ADDRESSES, SECRETS)))
def test_password_of_an_address_is_in_no_line(name: str, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"https://somebody:{secret}@host:8443/path"
    monkeypatch.setenv(name, address)
    assert without_secrets(f"no answer from {address}!") == "no answer from https://host:8443/path!"
    assert secret not in without_secrets(f"cannot log in with {secret}")


@pytest.mark.parametrize(
    "text",
    [
        "s3://models/storm/model/0123",
        "hf://org/name@revision",
        "http://host:8000/models/name@v1 answers",
        "Mr. Smith <smith@example.com> wrote // no comment",
        "file:///a/b@c",
        "https://host/a:b",
    ],
)
def test_text_without_a_secret_stays(text: str) -> None:
    assert without_secrets(text) == text


def test_address_that_no_variable_holds_loses_its_user() -> None:
    assert without_secrets("at http://a:b@host and http://c@host:1/x") == "at http://host and http://host:1/x"


@pytest.mark.parametrize(
    "parameter",
    ["X-Amz-Signature", "X-Amz-Security-Token", "X-Goog-Signature", "Signature", "sig", "token", "access_token", "key"],
)
@pytest.mark.parametrize(
    "place", ["https://host/a?{}=hunter-2-hunter&b=1", "403 for url: https://host/a?b=1&{}=hunter-2%2Fx"]
)
def test_signature_of_an_address_is_in_no_line(parameter: str, place: str) -> None:
    said = without_secrets(place.format(parameter))
    assert "hunter" not in said and f"{parameter}=***" in said


@pytest.mark.parametrize("name", NAMES)
def test_secret_with_a_line_break_is_in_no_line_either(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "hunter-2-hunter\n")
    assert without_secrets(repr("Bearer hunter-2-hunter\n")) == repr("Bearer ***\n")


def test_short_value_of_a_secret_variable_takes_no_words_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("HF_TOKEN", "training")
    assert without_secrets("s in retraining") == "s in retraining"
