import json
from typing import Any

import pytest

from storm_core.errors import InputError
from storm_core.sources.chat_messages import conversation_of
from storm_core.toolcalls.calls import ToolCall, parse_tool_calls
from storm_core.toolcalls.prompts import system_prompt

TOOL = {"name": "get_weather", "description": "Weather", "parameters": {"type": "object", "properties": {}}}
CALL = ToolCall("get_weather", {"city": "Paris"})
BLOCK = '<tool_call>{"tool_name": "get_weather", "tool_arguments": {"city": "Paris"}}</tool_call>'
HERMES = (
    "You are a function calling AI model. You are provided with function signatures within <tools></tools> XML tags. "
    "Here are the available tools: <tools> {tools} </tools> For each function call return a JSON object."
)

OPENAI = {
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


def test_other_text_around_tools_in_the_system_message_stays() -> None:
    turns = [{"role": "system", "content": f"You are Bob.\n<tools>{json.dumps([TOOL])}</tools>"}, *OPENAI["messages"]]
    messages, _ = conversation_of({"messages": turns})
    assert messages[0].content == system_prompt([TOOL]) + "\n\nYou are Bob."


def test_tools_a_line_each_are_read() -> None:
    other = {**TOOL, "name": "get_time"}
    system = HERMES.replace("{tools}", f"\n{json.dumps(TOOL)}\n{json.dumps(other)}\n")
    turns = [{"from": "system", "value": system}, *HERMES_ROW["conversations"][1:]]
    assert conversation_of({"conversations": turns})[1] == {"tools": ["get_weather", "get_time"]}


def test_text_about_the_format_is_left_alone_where_no_tools_are_on_offer() -> None:
    text = "Write <tool_call>your call</tool_call>."
    assert answer_to({"role": "assistant", "content": text}) == text
    with pytest.raises(InputError, match="a tool call is neither JSON nor a Python literal"):
        answer_to({"role": "assistant", "content": text}, tools=[TOOL])


def test_text_of_a_plain_conversation_is_not_touched() -> None:
    assert answer_to({"role": "assistant", "content": " indented\n"}) == " indented\n"


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
        ({}, {"role": "function_call", "content": '{"name": "f", "arguments": [1]}'}, "the arguments of f in"),
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
        ({"tools": 3}, {"role": "assistant", "content": "x"}, "tools is not a list of functions"),
    ],
)
def test_call_or_tool_that_cannot_be_read_is_malformed(
    columns: dict[str, Any], turn: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError) as caught:
        answer_to(turn, **columns)
    assert reason in str(caught.value)
