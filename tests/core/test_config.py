from dataclasses import dataclass
from typing import Any

import pytest

from storm_core.config import StageConfig, option, parse_option
from storm_core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ExampleConfig(StageConfig):
    steps: int = option("updates", 10, minimum=1)
    rate: float = option("learning rate", 0.1, minimum=0.0, maximum=1.0)
    threshold: float = option("any number", 0.0)
    packing: bool = option("pack examples", False)
    mode: str = option("how", "fast", choices=("fast", "slow"))
    labels: tuple[str, ...] = option("which", ("a",), choices=("a", "b"))


def test_defaults_are_class_attributes_that_components_borrow() -> None:
    assert ExampleConfig.rate == 0.1
    assert ExampleConfig.labels == ("a",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be >= 1, got 0"),
        ({"rate": 1.5}, "rate must be from 0.0 to 1.0, got 1.5"),
        ({"rate": float("nan")}, "rate must be from 0.0 to 1.0, got nan"),
        ({"steps": 2.0}, "steps must be an integer, got 2.0"),
        ({"steps": True}, "steps must be an integer, got True"),
        ({"packing": 1}, "packing must be true or false, got 1"),
        ({"mode": "best"}, "mode must be one of fast, slow, got 'best'"),
        ({"labels": ("a", "c")}, "labels must be one of a, b, got 'c'"),
        ({"labels": ["a"]}, "labels must be a JSON list of strings"),
    ],
)
def test_bad_option_names_field_range_and_value(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ExampleConfig(**options)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("steps", "12", 12),
        ("rate", "1e-3", 0.001),
        ("packing", "true", True),
        ("packing", "False", False),
        ("labels", '["a", "b"]', ("a", "b")),
    ],
)
def test_option_is_parsed_from_command_line_text(name: str, text: str, value: object) -> None:
    assert parse_option(ExampleConfig, name, text) == value


@pytest.mark.parametrize(
    ("name", "text"), [("steps", "1.5"), ("packing", "yes"), ("labels", "a"), ("labels", "[1]"), ("rate", "much")]
)
def test_text_of_the_wrong_type_is_an_input_error(name: str, text: str) -> None:
    with pytest.raises(InputError, match=name):
        parse_option(ExampleConfig, name, text)


@pytest.mark.parametrize("text", ["1_0", "\u0663", "1,5", ""])
@pytest.mark.parametrize("name", ["rate", "steps"])
def test_number_is_written_as_everywhere(name: str, text: str) -> None:
    with pytest.raises(InputError, match=name):
        parse_option(ExampleConfig, name, text)


def test_number_larger_than_kfp_passes_is_refused() -> None:
    ExampleConfig(steps=2**53)
    with pytest.raises(InputError, match="steps must be at most"):
        ExampleConfig(steps=2**53 + 1)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_number_without_a_range_is_finite_all_the_same(value: str) -> None:
    with pytest.raises(InputError, match=f"threshold must be finite, got {value}"):
        ExampleConfig(threshold=float(value))
