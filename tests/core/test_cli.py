import dataclasses
import errno
from pathlib import Path

import pytest

from storm_core.cli import build_parser, main
from storm_core.stages import STAGES, flags_of, load_stage
from storm_core.verdicts.cache_index import VerdictIndex
from storm_core.verdicts.schema import Verdict


@pytest.mark.parametrize("verb", STAGES)
def test_help_names_every_option_with_its_default(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        build_parser().parse_args([verb, "--help"])
    assert stopped.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for flag in flags_of(load_stage(verb)):
        assert flag in shown
    for field in dataclasses.fields(load_stage(verb).config):
        assert field.metadata["help"].split()[0] in shown
        if field.default is not dataclasses.MISSING:
            assert "default " in shown


@pytest.mark.parametrize("verb", STAGES)
def test_declared_stage_names_a_function_that_exists(verb: str) -> None:
    stage = load_stage(verb)
    assert stage.verb == verb
    assert callable(stage.load())


def test_bad_option_is_one_line_and_exit_code_one(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["merge", "--base-model", "a", "--other-model", "b", "--merged-model", f"{tmp_path}/m", "--t", "2"])
    assert code == 1
    assert capsys.readouterr().err == "storm merge: error: t must be from 0.0 to 1.0, got 2.0\n"


def test_missing_input_names_the_directory(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["scan", "--model", f"{tmp_path}/nowhere", "--scan", f"{tmp_path}/scan"])
    assert code == 1
    _, error = capsys.readouterr().err.splitlines()
    assert "nowhere does not exist" in error


def test_executor_input_that_is_not_json_is_refused(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["scan", "--model", "x", "--scan", f"{tmp_path}/scan", "--executor-input", "{"])
    assert code == 1
    assert "executor_input is not the JSON of a KFP ExecutorInput" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[o/x]", '["o/x"', "[1]", "[" * 20_000])
def test_list_of_references_that_is_not_json_is_answered_with_the_right_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    code = main(["select", "--examples", str(tmp_path), "--verdicts", text, "--selection", f"{tmp_path}/s"])
    assert code == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and len(error) < 400
    assert error.startswith(f"storm select: error: --verdicts {text[:200]} is no JSON list of references")
    assert """write --verdicts '["one", "two"]'""" in error


@pytest.mark.parametrize("below", ["x", "x/y"])
def test_output_below_a_file_names_the_path_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], below: str
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "file").touch()
    code = main(["scan", "--model", f"{tmp_path}/model", "--scan", f"{tmp_path}/file/{below}"])
    assert code == 1
    *starts, error = capsys.readouterr().err.splitlines()
    assert all(line.startswith("storm scan: starts") for line in starts)
    assert f"{tmp_path}/file/{below} cannot be made, as {tmp_path}/file is a file" in error


def test_full_disk_under_the_index_of_verdicts_is_the_error_of_any_full_disk(tmp_path: Path) -> None:
    index = VerdictIndex(tmp_path / "index.sqlite")
    index._database.execute("PRAGMA max_page_count = 2")
    verdict = Verdict(
        id="a" * 100_000,
        source="s",
        rubric="difficulty",
        rubric_hash="",
        judge_digest="",
        labels=("a", "b"),
        values=(1, 2),
        probabilities=(0.5, 0.5),
        label="a",
        expected_value=1.5,
        label_mass=1.0,
        tokens=1,
        truncated=False,
    )
    with pytest.raises(OSError, match=r"No space left on device.*index\.sqlite") as raised:
        index.add([verdict])
    assert raised.value.errno == errno.ENOSPC
    index.close()
