"""`storm <verb> --rerun`: computed afresh, although the store has the result."""

from pathlib import Path

import pytest

from storm_core.cli import main


@pytest.mark.parametrize(
    ("rerun", "task", "reused"),
    [
        (None, None, True),
        ("[]", None, True),
        ('["scan"]', None, True),
        ('["fetch"]', None, False),
        ("fetch", None, False),
        ('["scan", "fetch-base"]', "fetch-base", False),
        ('["fetch-sibling"]', "fetch-base", True),
    ],
)
def test_earlier_result_stands_in_unless_the_verb_or_the_task_is_named(
    tiny_llama: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rerun: str | None,
    task: str | None,
    reused: bool,
) -> None:
    monkeypatch.setenv("STORM_STORE", (tmp_path / "store").as_uri())
    fetch = ["fetch", "--source", str(tiny_llama), "--model", str(tmp_path / "model")]
    assert main(fetch) == 0
    capsys.readouterr()
    if task:
        monkeypatch.setenv("STORM_TASK_NAME", task)
    assert main([*fetch, *(["--rerun", rerun] if rerun else [])]) == 0
    assert ("reused an earlier result" in capsys.readouterr().err) == reused


def test_list_that_is_none_is_an_error_in_words(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch = ["fetch", "--source", str(tiny_llama), "--model", str(tmp_path / "model")]
    assert main([*fetch, "--rerun", "[fetch"]) == 1
    assert "--rerun [fetch is no JSON list" in capsys.readouterr().err
