"""Addresses of MLflow, good and bad: a stage goes on without it, says why in one line, and shows no password."""

import itertools
import re
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from storm_core.errors import InputError
from storm_core.mlflow_client import shown
from storm_core.stores.registrations import registry_address
from storm_core.tracking import Work, track
from tests.tracking.conftest import TrainLikeConfig

PASSWORDS = ("hunter-2-hunter", "first1:second2", "third3/fourth4/fifth5", "sixth6@seventh7@eighth8", "50% (or) [so]")
# With what the line says of it; what is after the user.
PLACES = {
    "http://{}127.0.0.1:9": "does not answer: Connection refused",
    "http://{}127.0.0.1:99999": "Port out of range",
    "http://{}127.0.0.1:port/api": "cannot be at",
    "http://{}": "cannot be at",
    "ftp://{}127.0.0.1/x": "unsupported URI",
    "plugin+x://{}host/x": "unsupported URI",
    "file://{}host/runs": "keeps no runs in files; write http://host:port",
    "postgresql://{}127.0.0.1:9/db": "needs the Python package psycopg",
    "mysql+pymysql://{}127.0.0.1:9/db": "needs the Python package pymysql",
    "postgresql://{}127.0.0.1:port/db": "cannot be at",
}
WITHOUT_USER = {
    "./mlruns": "'./mlruns' says: it keeps no runs in files",
    "127.0.0.1:5000": "write http://host:port",
    " ": "write http://host:port",
    "http://[::1": "Invalid IPv6 URL",
    " sqlite:///a.db": "' sqlite:///a.db'",
    "uc:x": "Unity Catalog",
}
WORK = Work(verb="train", task="train", key="key")


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.chdir(tmp_path)
    # None of these is installed with the package.
    for driver in ("psycopg", "psycopg2", "pymysql"):
        monkeypatch.setitem(sys.modules, driver, None)


def said_by_a_stage(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> str:
    """All that a stage writes and keeps that does not get through to MLflow."""
    with track(WORK, TrainLikeConfig(), None, tmp_path / "out") as run, pytest.raises(InputError) as caught:
        run.connection()
    with track(WORK, TrainLikeConfig(), None, tmp_path / "out"):
        pass
    kept = "".join(path.read_text() for path in (tmp_path / "out").rglob("*.json"))
    assert kept
    printed = capsys.readouterr()
    assert printed.out == "" and "Traceback" not in printed.err
    assert "\n" not in str(caught.value)
    return f"{caught.value}\n{printed.err}\n{kept}"


@pytest.mark.parametrize(("place", "words"), PLACES.items())
def test_address_that_leads_nowhere_is_a_line_without_its_password(
    place: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, (password, escaped) in enumerate(itertools.product(PASSWORDS, (True, False))):
        uri = place.format(f"somebody:{quote(password, safe='') if escaped else password}@")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", f"{password} again")
        said = said_by_a_stage(capsys, tmp_path / str(number))
        # A password that breaks the address up is another fault of it, which is told.
        assert words in said or "cannot be at" in said or "Invalid" in said, uri
        for secret in (password, quote(password, safe=""), *re.split("[:/@]", password)):
            assert secret not in said, uri


@pytest.mark.parametrize(("address", "words"), WITHOUT_USER.items())
def test_address_that_is_none_is_a_line_that_says_what_to_write(
    address: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert words in said_by_a_stage(capsys, tmp_path)


def test_stage_asks_an_address_that_can_be_none_no_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:99999")
    with track(WORK, TrainLikeConfig(), None, tmp_path):
        pass
    assert "it is not asked again" in capsys.readouterr().err


@pytest.mark.parametrize("uri", ["http://u:{}@host:5000/x", "https://u:{}@host", "postgresql://u:{}@host/db"])
@pytest.mark.parametrize("password", PASSWORDS)
def test_address_for_a_line_or_a_note_has_no_password(uri: str, password: str) -> None:
    full = uri.format(quote(password, safe=""))
    for text in (shown(full), registry_address(full)):
        assert "host" in text and password not in text and quote(password, safe="") not in text
