"""Calls as Glaive spells them: JSON whose arguments are JSON again, between single quotes."""

import json
from typing import Any

import pytest

from storm_core.sources.formats.call_spellings import read_bare_calls, read_calls
from storm_core.toolcalls.calls import ToolCall


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        (r'{"path": "C:\\new"}', {"path": r"C:\new"}),
        (r'{"latex": "\\frac{1}{2} \\beta"}', {"latex": r"\frac{1}{2} \beta"}),
        (r'{"pattern": "\\bword\\b"}', {"pattern": r"\bword\b"}),
        (r'{"text": "say \"\" twice"}', {"text": 'say "" twice'}),
        (r'{"text": "one\ntwo"}', {"text": "one\ntwo"}),
        (r"""{"port": "St. John's", "path": "C:\\new"}""", {"port": "St. John's", "path": r"C:\new"}),
        (r"""{"port": "St. John\'s", "path": "C:\\new"}""", {"port": "St. John's", "path": r"C:\new"}),
        (r"""{"port": "St. John\'s", "sky": "\ud83c\udf0a"}""", {"port": "St. John's", "sky": "\U0001f30a"}),
        (r'{"path": "C:\\"}', {"path": "C:\\"}),
        ("{'port': 'Oban', 'ebb': True}", {"port": "Oban", "ebb": True}),
        ("{}", {}),
        ("", {}),
    ],
)
@pytest.mark.parametrize("spelling", ['{"name": "f", "arguments": \'%s\'}', '[{"arguments" : \'%s\' , "name": "f"}]'])
def test_escapes_of_arguments_in_single_quotes_are_read_once(
    spelling: str, arguments: str, read: dict[str, Any]
) -> None:
    assert read_calls(spelling % arguments, "the call") == (ToolCall("f", read),)


def test_list_of_calls_with_arguments_in_single_quotes_is_read() -> None:
    call = """{"name": "f", "arguments": '{"path": "C:\\\\new"}'}"""
    assert read_calls(f"[{call}, {call}]", "the call") == (ToolCall("f", {"path": r"C:\new"}),) * 2
    assert read_bare_calls(f" {call} ") == (ToolCall("f", {"path": r"C:\new"}),)


def test_arguments_in_single_quotes_that_are_escaped_as_python_does_are_a_literal() -> None:
    arguments = json.dumps({"text": 'He said "no".'})
    escaped = arguments.replace("\\", "\\\\")
    assert read_calls(f"""{{"name": "f", "arguments": '{escaped}'}}""", "a") == (ToolCall("f", json.loads(arguments)),)


def test_call_as_python_writes_it_keeps_its_meaning() -> None:
    arguments = json.dumps({"path": r"C:\new", "port": "St. John's"})
    call = repr({"name": "f", "arguments": arguments})
    assert read_calls(call, "the call") == (ToolCall("f", json.loads(arguments)),)
