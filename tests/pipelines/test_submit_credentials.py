"""What kfp's client is told of who asks, where it cannot be used: a line that says so, without the secret."""

from pathlib import Path

import pytest

from tests.pipelines.kfp_server import KfpServer
from tests.pipelines.submitting import kfp, recipe, s3, settings, submit

__all__ = ["kfp", "recipe", "s3", "settings"]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("KFP_EXISTING_TOKEN", "of-a-file\n", "KFP_EXISTING_TOKEN must be one line"),
        ("KFP_COOKIES", "of-a-file\n", "KFP_COOKIES must be one line"),
        ("KFP_SSL_CA_CERT", "/nowhere", "KFP_SSL_CA_CERT is /nowhere, which cannot be read: No such file"),
        ("KF_PIPELINES_SA_TOKEN_PATH", "/nowhere", "KF_PIPELINES_SA_TOKEN_PATH is /nowhere, which cannot be read"),
    ],
)
def test_credentials_that_cannot_be_used_are_refused_before_anything_is_asked(
    recipe: Path,
    kfp: KfpServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    said: str,
) -> None:
    monkeypatch.setenv(variable, value)
    assert submit(recipe, kfp) == 1
    assert said in (told := capsys.readouterr().err)
    assert len(told.splitlines()) == 1
    assert "of-a-file" not in told
    assert not kfp.requests


@pytest.mark.parametrize("content", ["{", "[]", '{"client_authentication_cookie": "secret"}'])
def test_file_of_kfp_s_client_that_it_cannot_read_is_named(
    recipe: Path,
    kfp: KfpServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    content: str,
) -> None:
    context = tmp_path / ".config/kfp/context.json"
    context.parent.mkdir(parents=True)
    context.write_text(content)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert submit(recipe, kfp) == 1
    assert f"{context}, which kfp's client reads, must be a JSON object" in (told := capsys.readouterr().err)
    assert len(told.splitlines()) == 1
