import dataclasses

import pytest

from storm_core.cli import STAGES, build_parser, flags_of, load_stage, main


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
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "nowhere does not exist" in error


def test_executor_input_that_is_not_json_is_refused(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["scan", "--model", "x", "--scan", f"{tmp_path}/scan", "--executor-input", "{"])
    assert code == 1
    assert "executor_input is not the JSON of a KFP ExecutorInput" in capsys.readouterr().err
