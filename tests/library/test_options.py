"""Options of the functions are those of the stages' configs: in signatures, in help and to type checkers."""

import dataclasses
import inspect
import pydoc
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import storm_core as storm
from storm_core.stages import load_stage
from tests.package_copy import PackageCopy

VERBS = ("fetch", "merge", "quantize", "scan", "score")
every_verb = pytest.mark.parametrize("verb", VERBS)
PROGRAM = """
import inspect, sys
import storm_core as storm
sys.stdout.write(f"{inspect.signature(storm.scan)}\\n{storm.scan.__doc__}")
"""


@every_verb
def test_signature_has_the_options_of_the_config_with_their_types_and_defaults(verb: str) -> None:
    config = load_stage(verb).config
    types = typing.get_type_hints(config)
    parameters = inspect.signature(getattr(storm, verb)).parameters.values()
    shown = {one.name: (one.annotation, one.default) for one in parameters if one.kind is one.KEYWORD_ONLY}
    assert shown == {field.name: (types[field.name], field.default) for field in dataclasses.fields(config)}
    assert not any(one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL) for one in parameters)


@every_verb
def test_every_input_of_the_stage_can_be_given(verb: str) -> None:
    stage = load_stage(verb)
    parameters = inspect.signature(getattr(storm, verb)).parameters
    assert set(stage.inputs) <= set(parameters)
    assert all((parameters[name].default is None) == one.optional for name, one in stage.inputs.items())


@every_verb
def test_help_is_that_of_a_function_and_names_every_option(verb: str) -> None:
    text = pydoc.plain(pydoc.render_doc(getattr(storm, verb)))
    assert f"\n{verb}(" in text
    for field in dataclasses.fields(load_stage(verb).config):
        assert f"{field.name}: {field.metadata['help']}" in text


def test_unknown_option_is_refused_with_the_one_that_may_be_meant(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"^scan\(\) has no argument 'unfrozen_percents'; did you mean 'unfrozen_perc"):
        storm.scan(tmp_path, unfrozen_percents=3)  # type: ignore[call-arg]
    with pytest.raises(
        TypeError, match=r"^merge\(\) has no argument 'x'; there are base_model, other_model, output, t$"
    ):
        storm.merge(tmp_path, tmp_path, tmp_path, x=3)  # type: ignore[call-arg]


def test_missing_argument_and_option_without_its_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'output'"):
        storm.quantize(tmp_path)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="too many positional arguments"):
        storm.scan(tmp_path, tmp_path, 25)  # type: ignore[call-arg]


def test_wrong_value_is_refused_by_name_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(storm.InputError, match=r"^t must be from 0.0 to 1.0, got 1.5$"):
        storm.merge("nowhere", "nowhere", tmp_path / "merged", t=1.5)
    with pytest.raises(storm.InputError, match="unfrozen_percent must be a number, got 'half'"):
        storm.scan("nowhere", unfrozen_percent="half")  # type: ignore[arg-type]


def test_new_option_of_a_config_is_there_without_an_edit_of_the_library(tmp_path: Path) -> None:
    copy = PackageCopy(tmp_path)
    field = '    scales: str = option("what weighs", "kitchen", choices=("kitchen", "letter"))\n'
    copy.edit("spectrum/config.py", "    unfrozen_percent: float", f"{field}    unfrozen_percent: float")
    command = [sys.executable, "-c", PROGRAM]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=copy.environment()).stdout
    assert "*, scales: str = 'kitchen', unfrozen_percent: float = 50.0" in shown
    assert 'scales: what weighs (a string; one of kitchen, letter; default "kitchen")' in shown
    (tmp_path / "program.py").write_text("import storm_core\nreveal_type(storm_core.scan)\n")
    quick = ["--no-site-packages", "--ignore-missing-imports", "--cache-dir", str(tmp_path / "cache")]
    mypy = [sys.executable, "-m", "mypy", *quick, "program.py"]
    typed = subprocess.run(mypy, capture_output=True, text=True, check=False, cwd=tmp_path, env=copy.environment())
    assert "*, scales: str =, unfrozen_percent: float =) -> storm_core.library.scan.Scan" in typed.stdout
