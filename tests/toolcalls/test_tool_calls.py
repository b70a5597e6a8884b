import ast
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_core.toolcalls.ast_check import check_calls
from storm_core.toolcalls.bfcl import ANSWERED_CATEGORIES, read_bfcl, reference_calls
from storm_core.toolcalls.calls import ToolCall, ToolCallError, parse_tool_calls, render_tool_call
from storm_core.toolcalls.literals import MAX_DEPTH

BFCL = Path(__file__).parents[2] / ".data" / "bfcl_eval" / "data"
WEATHER = ToolCall("get_weather", {"city": "Paris", "days": 3})
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
calls = st.builds(ToolCall, st.text(), st.dictionaries(st.text(), values, max_size=4))


def test_call_is_rendered_as_the_recipe_spells_it() -> None:
    call = ToolCall("météo", {"ville": "Orléans", "jours": 3})
    expected = '<tool_call>{"tool_name": "météo", "tool_arguments": {"ville": "Orléans", "jours": 3}}</tool_call>'
    assert render_tool_call(call) == expected


@given(st.lists(calls, min_size=1, max_size=3), st.sampled_from(["", "\n", " then "]))
def test_rendered_calls_parse_to_themselves(expected: list[ToolCall], between: str) -> None:
    assert parse_tool_calls(between.join(render_tool_call(call) for call in expected)) == expected


def test_tags_inside_a_value_are_part_of_it() -> None:
    call = ToolCall("write", {"text": "a <tool_call> and </tool_call> b"})
    assert render_tool_call(call).count("</tool_call>") == 1
    assert parse_tool_calls(render_tool_call(call)) == [call]


def test_python_style_calls_are_parsed() -> None:
    reply = "<tool_call>{'tool_name': 'get_weather', 'tool_arguments': {'city': 'Paris', 'days': 3}}</tool_call>"
    assert parse_tool_calls(reply) == [WEATHER]
    reply = "<tool_call>{'tool_name': 'f', 'tool_arguments': {'a': True, 'b': None, 'c': (1, -2.5)}}</tool_call>"
    assert parse_tool_calls(reply) == [ToolCall("f", {"a": True, "b": None, "c": (1, -2.5)})]


def test_several_calls_keep_their_order_and_the_text_around_them_is_ignored() -> None:
    other = ToolCall("get_time", {})
    reply = (
        f"Sure!\n{render_tool_call(WEATHER)}\nand\n<tool_call>\n{{'tool_name': 'get_time', 'tool_arguments': {{}}}}\n"
    )
    assert parse_tool_calls(f"{reply}</tool_call>\nDone.") == [WEATHER, other]


@pytest.mark.parametrize("reply", ["[]", " [ ]\n"])
def test_empty_list_means_no_calls(reply: str) -> None:
    assert parse_tool_calls(reply) == []


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "no <tool_call> block"),
        ("I cannot help with that.", "no <tool_call> block"),
        ('{"tool_name": "f", "tool_arguments": {}}', "no <tool_call> block"),
        ('<tool_call>{"tool_name": "f", "tool_arguments": {}}', "without </tool_call>"),
        ('<tool_call>{"tool_name": "f", "tool_arguments": {}}<tool_call>{}</tool_call>', "neither JSON nor"),
        ("<tool_call></tool_call>", "neither JSON nor a Python literal"),
        ("<tool_call>get_weather(city='Paris')</tool_call>", "neither JSON nor a Python literal"),
        ("<tool_call>{'tool_name': 'f', 'tool_arguments': {'a': {1, 2}}}</tool_call>", "holds what JSON cannot"),
        ("<tool_call>{'tool_name': 'f', 'tool_arguments': {'a': b'x'}}</tool_call>", "holds what JSON cannot"),
        ("<tool_call>{[]: 1}</tool_call>", "neither JSON nor"),
        ("<tool_call>[]</tool_call>", "a list, not an object"),
        ("<tool_call>null</tool_call>", "null, not an object"),
        ('<tool_call>{"name": "f", "arguments": {}}</tool_call>', "no tool_name"),
        ('<tool_call>{"tool_name": "f"}</tool_call>', "no tool_arguments"),
        ('<tool_call>{"tool_name": 1, "tool_arguments": {}}</tool_call>', "tool_name is int"),
        ('<tool_call>{"tool_name": "f", "tool_arguments": [1]}</tool_call>', "tool_arguments is a list"),
        ("<tool_call>{'tool_name': 'f', 'tool_arguments': {1: 2}}</tool_call>", "a name that is not a string"),
    ],
)
def test_reply_in_another_format_is_refused_with_the_reason(reply: str, reason: str) -> None:
    with pytest.raises(ToolCallError, match=reason):
        parse_tool_calls(reply)


def test_nothing_in_a_reply_is_executed(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    code = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    with pytest.raises(ToolCallError):
        parse_tool_calls(f"<tool_call>{{'tool_name': 'f', 'tool_arguments': {{'a': {code}}}}}</tool_call>")
    assert not mark.exists()


@pytest.mark.parametrize(
    "garbage",
    [
        "{" * 50_000,
        '{"a":' * 20_000 + "1" + "}" * 20_000,
        "-" * 90_000 + "1",
        "+".join("1" * 40_000),
        "not " * 20_000 + "1",
        "9" * 90_000,
        "{'tool_name': 'f', 'tool_arguments': {'a': 0x" + "f" * 90_000 + "}}",
        "\0",
        "'\ud800'",
        "1if 1else 2",
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_hostile_reply_is_refused(garbage: str) -> None:
    with pytest.raises(ToolCallError):
        parse_tool_calls(f"<tool_call>{garbage}</tool_call>")


def test_overlong_reply_is_refused() -> None:
    with pytest.raises(ToolCallError, match="200090 characters, more than 100000"):
        parse_tool_calls(render_tool_call(WEATHER) + " " * (200_090 - len(render_tool_call(WEATHER))))


@pytest.mark.parametrize("spell", [json.dumps, repr])
def test_nesting_is_bounded(spell: Any) -> None:
    def reply(depth: int) -> str:
        content = {"tool_name": "f", "tool_arguments": {"a": None}}
        for _ in range(depth - 2):
            content["tool_arguments"] = {"a": content["tool_arguments"]}
        return f"<tool_call>{spell(content)}</tool_call>"

    assert parse_tool_calls(reply(MAX_DEPTH))
    with pytest.raises(ToolCallError, match="nests deeper"):
        parse_tool_calls(reply(MAX_DEPTH + 1))


def test_backslashes_of_a_python_style_call_cause_no_warning() -> None:
    reply = r"<tool_call>{'tool_name': 'f', 'tool_arguments': {'pattern': '\d+'}}</tool_call>"
    assert parse_tool_calls(reply) == [ToolCall("f", {"pattern": r"\d+"})]


@given(st.text(alphabet=st.sampled_from("<tool_call>/{}[]'\":,1aN \\")))
def test_any_text_parses_or_is_refused(text: str) -> None:
    for reply in (text, f"<tool_call>{text}</tool_call>"):
        try:
            parse_tool_calls(reply)
        except ToolCallError as error:
            assert "\n" not in str(error)


def test_non_finite_numbers_are_read_as_json_of_python_writes_them() -> None:
    (call,) = parse_tool_calls('<tool_call>{"tool_name": "f", "tool_arguments": {"a": NaN}}</tool_call>')
    assert math.isnan(call.arguments["a"])


@pytest.mark.parametrize("category", ANSWERED_CATEGORIES)
def test_replies_in_either_style_get_the_verdict_of_their_calls(category: str) -> None:
    for entry in read_bfcl(BFCL, category)[:200]:
        reference = reference_calls(entry)
        as_python = [repr({"tool_name": call.name, "tool_arguments": call.arguments}) for call in reference]
        assert [ast.literal_eval(text)["tool_name"] for text in as_python] == [call.name for call in reference]
        for blocks in ([render_tool_call(c) for c in reference], [f"<tool_call>{t}</tool_call>" for t in as_python]):
            assert check_calls(entry, parse_tool_calls("\n".join(blocks))) == check_calls(entry, reference)
            assert not check_calls(entry, parse_tool_calls("\n".join(blocks * 2))).valid
