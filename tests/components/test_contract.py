"""What a component passes is what its stage accepts, flag by flag, value by value, default by default."""

import dataclasses
import re
from typing import Any

import pytest

from components.stage_component import component
from storm_core.executor_output import METRICS_TYPE, PAGE_TYPE
from storm_core.stage import Stage
from storm_core.stages import EXECUTOR_INPUT, STAGES, flag, flags_of, load_stage

EMPTY = dataclasses.MISSING
KFP_TYPES = {"str": "String", "int": "Integer", "float": "Float", "bool": "Boolean", "tuple": "List[String]"}


def container(verb: str) -> Any:
    return component(verb).component_spec.implementation.container


def passed_flags(verb: str) -> dict[str, str]:
    args = [str(arg) for arg in container(verb).args]
    assert len(args) % 2 == 0, args
    return dict(zip(args[::2], args[1::2], strict=True))


@pytest.mark.parametrize("verb", STAGES)
def test_command_is_the_subcommand_and_no_shell(verb: str) -> None:
    assert container(verb).command == ["storm", verb]


@pytest.mark.parametrize("verb", STAGES)
def test_flags_passed_equal_the_flags_accepted(verb: str) -> None:
    args = [str(arg) for arg in container(verb).args][::2]
    assert len(args) == len(set(args)), "a flag is passed twice"
    assert set(args) == flags_of(load_stage(verb))


@pytest.mark.parametrize("verb", STAGES)
def test_each_flag_carries_its_own_value(verb: str) -> None:
    for name, value in passed_flags(verb).items():
        if name == EXECUTOR_INPUT:
            assert value == "{{$}}"
            continue
        carried = re.findall(r"\[['\"]([a-z_]+)['\"]\]", value)
        assert [flag(part) for part in carried] == [name], f"{name} is given {value}"


@pytest.mark.parametrize("verb", STAGES)
def test_defaults_of_the_signature_are_the_config_s(verb: str) -> None:
    inputs = component(verb).component_spec.inputs
    for field in dataclasses.fields(load_stage(verb).config):
        declared = inputs[field.name]
        if field.default is EMPTY:
            assert not declared.optional, field.name
        else:
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            assert declared.default == default, field.name
            assert type(declared.default) is type(default), field.name


@pytest.mark.parametrize("verb", STAGES)
def test_types_of_the_signature_are_the_config_s(verb: str) -> None:
    inputs = component(verb).component_spec.inputs
    for field in dataclasses.fields(load_stage(verb).config):
        kind = getattr(field.type, "__origin__", field.type).__name__  # type: ignore[union-attr]
        assert inputs[field.name].type == KFP_TYPES[kind], field.name


@pytest.mark.parametrize("verb", STAGES)
def test_outputs_of_the_signature_are_the_stage_s(verb: str) -> None:
    stage: Stage = load_stage(verb)
    assert set(component(verb).component_spec.outputs) == {*stage.outputs, *stage.values, "metrics", "page"}


@pytest.mark.parametrize("verb", STAGES)
def test_description_is_the_stage_s_summary(verb: str) -> None:
    assert component(verb).component_spec.description == load_stage(verb).summary


@pytest.mark.parametrize("verb", STAGES)
def test_everything_that_a_component_reads_and_writes_is_described(verb: str) -> None:
    specification, stage = component(verb).component_spec, load_stage(verb)
    for name, described in {**specification.inputs, **specification.outputs}.items():
        assert described.description, name
    for field in dataclasses.fields(stage.config):
        description = str(specification.inputs[field.name].description)
        assert description.startswith(field.metadata["help"])
        assert all(choice in description for choice in field.metadata["choices"])
    declared: dict[str, Any] = {**stage.inputs, **stage.outputs, **stage.values}
    for name, one in declared.items():
        found = specification.inputs.get(name) or specification.outputs[name]
        assert found.description == one.help


@pytest.mark.parametrize("verb", STAGES)
def test_numbers_of_every_stage_reach_the_ui_as_metrics(verb: str) -> None:
    assert component(verb).component_spec.outputs["metrics"].type == f"{METRICS_TYPE}@0.0.1"


@pytest.mark.parametrize("verb", STAGES)
def test_page_of_every_stage_reaches_the_ui_as_html(verb: str) -> None:
    assert component(verb).component_spec.outputs["page"].type == f"{PAGE_TYPE}@0.0.1"
