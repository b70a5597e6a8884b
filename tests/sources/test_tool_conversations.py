import json
from typing import Any

import pytest

from storm_core.errors import InputError
from storm_core.sources.formats.chat_messages import conversation_of
from storm_core.toolcalls.calls import ToolCall, parse_tool_calls, render_tool_call
from storm_core.toolcalls.prompts import system_prompt

TOOL = {"name": "get_weather", "description": "Weather", "parameters": {"type": "object", "properties": {}}}
CALL = ToolCall("get_weather", {"city": "Paris"})
BLOCK = '<tool_call>{"tool_name": "get_weather", "tool_arguments": {"city": "Paris"}}</tool_call>'
HERMES = (
    "You are a function calling AI model. You are provided with function signatures within <tools></tools> XML tags. "
    "Here are the available tools: <tools> {tools} </tools> For each function call return a JSON object."
)

OPENAI: dict[str, Any] = {
    "tools": [{"type": "function", "function": TOOL}],
    "messages": [
        {"role": "user", "content": "Weather in Paris?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "Sunny"},
        {"role": "assistant", "content": "It is sunny."},
    ],
}
SHAREGPT = {
    "tools": json.dumps([TOOL]),
    "conversations": [
        {"from": "human", "value": "Weather in Paris?"},
        {"from": "function_call", "value": '{"name": "get_weather", "arguments": {"city": "Paris"}}'},
        {"from": "observation", "value": "Sunny"},
        {"from": "gpt", "value": "It is sunny."},
    ],
}
HERMES_ROW = {
    "conversations": [
        {"from": "system", "value": HERMES.replace("{tools}", json.dumps([{"type": "function", "function": TOOL}]))},
        {"from": "human", "value": "Weather in Paris?"},
        {"from": "gpt", "value": "<tool_call>\n{'arguments': {'city': 'Paris'}, 'name': 'get_weather'}\n</tool_call>"},
        {"from": "tool", "value": "<tool_response>\nSunny\n</tool_response>"},
        {"from": "gpt", "value": "It is sunny."},
    ]
}
RECIPE = {
    "messages": [
        {"role": "system", "content": system_prompt([TOOL])},
        {"role": "user", "content": "Weather in Paris?"},
        {"role": "assistant", "content": BLOCK},
        {"role": "tool", "content": "Sunny"},
        {"role": "assistant", "content": "It is sunny."},
    ]
}


@pytest.mark.parametrize("row", [OPENAI, SHAREGPT, HERMES_ROW, RECIPE], ids=["openai", "sharegpt", "hermes", "recipe"])
def test_every_format_becomes_the_recipes(row: dict[str, Any]) -> None:
    messages, meta = conversation_of(row)
    assert [{"role": message.role, "content": message.content} for message in messages] == RECIPE["messages"]
    assert meta == {"tools": ["get_weather"]}


def answer_to(turn: dict[str, Any], **columns: Any) -> str:
    messages, _ = conversation_of({"messages": [{"role": "user", "content": "?"}, turn], **columns})
    return messages[-1].content


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": '<functioncall> {"name": "get_weather", "arguments": \'{"city": "Paris"}\'}'},
        {"role": "assistant", "function_call": {"name": "get_weather", "arguments": '{"city": "Paris"}'}},
        {"role": "assistant", "content": "", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]},
        {"role": "function_call", "content": '[{"name": "get_weather", "arguments": {"city": "Paris"}}]'},
    ],
)
def test_other_spellings_of_a_call_are_read(turn: dict[str, Any]) -> None:
    assert answer_to(turn) == BLOCK


def test_text_beside_calls_stays_and_each_call_has_a_block_of_its_own() -> None:
    calls = [{"function": {"name": "get_weather", "arguments": {"city": city}}} for city in ("Paris", "Rome")]
    answer = answer_to({"role": "assistant", "content": "Let me see.", "tool_calls": calls})
    assert answer.startswith("Let me see.\n<tool_call>")
    assert parse_tool_calls(answer) == [CALL, ToolCall("get_weather", {"city": "Rome"})]


def test_own_system_message_follows_the_recipes_prompt() -> None:
    row = {**OPENAI, "messages": [{"role": "system", "content": "Be brief."}, *OPENAI["messages"]]}
    assert conversation_of(row)[0][0].content == system_prompt([TOOL]) + "\n\nBe brief."


def test_text_about_the_format_is_left_alone_where_no_tools_are_on_offer() -> None:
    text = "Write <tool_call>your call</tool_call>."
    assert answer_to({"role": "assistant", "content": text}) == text
    hermes = "Hermes writes <tool_call>{'name': 'f', 'arguments': {}}</tool_call>."
    assert answer_to({"role": "assistant", "content": hermes}) == hermes
    with pytest.raises(InputError, match="a tool call is neither JSON nor a Python literal"):
        answer_to({"role": "assistant", "content": text}, tools=[TOOL])


def test_text_of_a_plain_conversation_is_not_touched() -> None:
    assert answer_to({"role": "assistant", "content": " indented\n"}) == " indented\n"


@pytest.mark.parametrize(
    ("wrapped", "plain"),
    [
        ("<tool_response>Sunny</tool_response>\n<tool_response>\n20 C\n</tool_response>\n", "Sunny\n20 C"),
        ("<tool_response>Sunny</tool_response> in Paris", "<tool_response>Sunny</tool_response> in Paris"),
        (" Sunny\n", " Sunny\n"),
    ],
)
def test_each_response_in_a_turn_loses_its_tags_where_nothing_stands_beside_them(wrapped: str, plain: str) -> None:
    assert answer_to({"role": "tool", "content": wrapped}) == plain


def test_tag_of_a_call_within_the_arguments_of_another_is_text() -> None:
    inner = '<functioncall> {"name": "f", "arguments": {}}'
    call = ToolCall("get_weather", {"city": inner})
    assert answer_to({"role": "assistant", "content": render_tool_call(call)}, tools=[TOOL]) == render_tool_call(call)


def test_both_kinds_of_blocks_in_one_answer_are_read() -> None:
    hermes = "<tool_call>{'name': 'get_weather', 'arguments': {'city': 'Paris'}}</tool_call>"
    glaive = """<functioncall> {"name": "get_weather", "arguments": '{"city": "Paris"}'}"""
    answer = answer_to({"role": "assistant", "content": f"{hermes} and {glaive}"}, tools=[TOOL])
    assert answer == f"{BLOCK} and {BLOCK}"


@pytest.mark.parametrize(
    "answer",
    [
        {"name": "get_weather", "description": "Weather", "parameters": {"type": "object"}},
        {"name": "get_weather", "city": "Paris"},
        {"name": "get_time", "parameters": {"city": "Paris"}},
        {"name": "get_weather", "arguments": {"city": "Paris"}, "why": "asked"},
        {"tool_name": "get_weather", "arguments": {"city": "Paris"}},
        {"name": "get_weather"},
        [{"name": "get_weather", "arguments": {"city": "Paris"}}, {"name": "get_weather", "city": "Rome"}],
    ],
)
def test_answer_that_says_more_or_less_than_a_call_stays(answer: Any) -> None:
    text = json.dumps(answer)
    assert answer_to({"role": "assistant", "content": text}, tools=[TOOL]) == text


@pytest.mark.parametrize(
    "answer",
    [
        {"name": "get_weather", "arguments": {"city": "Paris"}},
        {"tool_name": "get_weather", "tool_arguments": {"city": "Paris"}},
        [{"arguments": '{"city": "Paris"}', "name": "get_weather"}],
    ],
)
def test_answer_that_is_a_call_and_nothing_else_is_written_as_one(answer: Any) -> None:
    assert answer_to({"role": "assistant", "content": json.dumps(answer)}, tools=[TOOL]) == BLOCK


@pytest.mark.parametrize("tag", ["<tools>", "<tool_call>", "<tool_response>", "<functioncall>"])
def test_row_full_of_opening_tags_is_read_in_time_that_grows_with_its_length(tag: str) -> None:
    # Each tag searched to the end of the text, as a pattern does, these would take minutes.
    text = tag * 200_000
    turns = [{"role": role, "content": text} for role in ("system", "user", "assistant", "tool")]
    messages, _ = conversation_of({"messages": turns})
    assert [message.content for message in messages] == [text] * 4
    if tag == "<tool_call>":
        closed = f"</tool_call>{text}"
        with pytest.raises(InputError, match="an answer has '<tool_call>', the mark of a call"):
            answer_to({"role": "assistant", "content": closed}, tools=[TOOL])


def deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("columns", "turn", "reason"),
    [
        ({}, {"role": "function_call", "content": "get_weather(Paris)"}, "the call in messages[1] is neither JSON nor"),
        ({}, {"role": "function_call", "content": "{}"}, "the call in messages[1] names no function"),
        ({}, {"role": "function_call", "content": "[1]"}, "is not an object"),
        ({}, {"role": "function_call", "content": '{"name": "f", "arguments": [1]}'}, "the arguments of 'f' in"),
        ({}, {"role": "function_call", "content": '{"name": "f", "arguments": {1, 2}}'}, "holds what JSON cannot"),
        ({}, {"role": "function_call", "content": "[" * 10_000}, "is neither JSON nor"),
        ({}, {"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"x": deep(500)}}]}, "nests deeper than"),
        ({"tools": "not json"}, {"role": "assistant", "content": "x"}, "tools is neither JSON"),
        ({"tools": [1]}, {"role": "assistant", "content": "x"}, "not a function with a name"),
        ({"tools": deep(500)}, {"role": "assistant", "content": "x"}, "tools nests deeper than"),
        (
            {"tools": [{"name": "f", "when": {1, 2}}]},
            {"role": "assistant", "content": "x"},
            "tools holds what JSON cannot",
        ),
        (
            {},
            {"role": "function_call", "content": '{"name": "\\ud800", "arguments": [1]}'},
            r"arguments of '\ud800' in",
        ),
        ({}, {"role": "function_call", "content": '{"name": "f", "arguments": {"x": NaN}}'}, "holds what JSON cannot"),
        (
            {},
            {"role": "function_call", "content": '{"name": "f", "arguments": {"x": 1e999}}'},
            "holds what JSON cannot",
        ),
        ({"tools": 3}, {"role": "assistant", "content": "x"}, "tools is not a list of functions"),
        (
            {"tools": "[{'name': 'f', 'x': [" + "[0]," * 1_000_000 + "]}]"},
            {"role": "assistant", "content": "x"},
            "tools is not JSON, and too long for a Python literal (4000024 characters, more than 100000)",
        ),
    ],
)
def test_call_or_tool_that_cannot_be_read_is_malformed(
    columns: dict[str, Any], turn: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError) as caught:
        answer_to(turn, **columns)
    assert reason in str(caught.value)
