import tracemalloc
from typing import Any

import pytest

from storm_core.toolcalls.literals import MAX_PYTHON_CHARACTERS, check_writable, parse_json_or_python


@pytest.mark.parametrize(
    ("text", "value"),
    [('{"a": [1, null]}', {"a": [1, None]}), (" {'a': (1, None, True)} ", {"a": (1, None, True)}), ("'\\d'", "\\d")],
)
def test_json_and_python_are_read(text: str, value: Any) -> None:
    assert parse_json_or_python(text, strict=True) == value


def test_bare_line_end_inside_a_string_of_json_is_read_on_request() -> None:
    assert parse_json_or_python('"one\ntwo"', strict=False) == "one\ntwo"
    with pytest.raises(ValueError, match="neither JSON nor a Python literal"):
        parse_json_or_python('"one\ntwo"', strict=True)


def test_python_has_a_bound_and_json_has_none() -> None:
    within, beyond = (f"'{'x' * (MAX_PYTHON_CHARACTERS - 2 + more)}'" for more in (0, 1))
    assert parse_json_or_python(within, strict=True) == within.strip("'")
    with pytest.raises(ValueError, match=r"too long for a Python literal \(100001 characters, more than 100000\)"):
        parse_json_or_python(beyond, strict=True)
    assert len(parse_json_or_python(beyond.replace("'", '"'), strict=True)) == MAX_PYTHON_CHARACTERS - 1


@pytest.mark.parametrize("start", ["[{'name': 'f', 'x': [", '{"a":' * 20_000])
def test_text_too_long_for_python_takes_little_memory(start: str) -> None:
    text = start + "[0]," * 1_000_000
    tracemalloc.start()
    with pytest.raises(ValueError, match="too long for a Python literal"):
        parse_json_or_python(text, strict=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 << 20


@pytest.mark.parametrize(
    ("value", "reason"),
    [({"a": {1, 2}}, "holds what JSON cannot: Object of type set"), ([b"x"], "Object of type bytes")],
)
def test_value_that_json_cannot_hold_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_writable(value, allow_nan=True)
